# The last gate. It writes LAUNCH when every required experiment is GO and its measurement passes
# when judged again. Optional experiments are judged first, but do not block the launch.


rule launch:
    input:
        [RUN.path(experiment, "GO") for experiment in RUN.required],
        [RUN.path(experiment, "decision.json") for experiment in RUN.optional],
    output:
        RUN.path("LAUNCH"),
    log:
        RUN.path("logs", "launch.log"),
    retries: 0
    conda:
        "../../environment.yml"
    params:
        folder=RUN.folder,
        code=RUN.code_of("safe.gates.launching"),
    shell:
        "safe launch {params.folder:q} 2>&1 | tee {log:q}"
