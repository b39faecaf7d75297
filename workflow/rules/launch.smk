# The last gate: a token when every required experiment is GO and so is the evidence, judged once
# more. An optional experiment is decided before, whatever it says.


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
