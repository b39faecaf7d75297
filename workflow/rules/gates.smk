# measurement.json -> decision.json (always succeeds) -> GO (or a failure with the reason).
# Two rules, because Snakemake deletes the output of a failed rule.


rule judge:
    input:
        measurement=RUN.path("{experiment}", "measurement.json"),
        criteria=(RUN.config.criteria / "{experiment}.yaml").as_posix(),
        waivers=RUN.config.waivers.as_posix(),
    output:
        report(
            RUN.path("{experiment}", "decision.json"),
            caption="../report/decision.rst",
            category="Decisions",
        ),
    log:
        RUN.path("logs", "judge_{experiment}.log"),
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, input: Path(input.measurement).parents[1],
        scale=RUN.config.scale,
        code=RUN.code_of("safe.gates.run"),
    shell:
        "safe judge {params.folder:q} {wildcards.experiment:q} > {log:q} 2>&1"


rule gate:
    input:
        RUN.path("{experiment}", "decision.json"),
    output:
        RUN.path("{experiment}", "GO"),
    log:
        RUN.path("logs", "gate_{experiment}.log"),
    retries: 0
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, input: Path(input[0]).parents[1],
        code=RUN.code_of("safe.gates.token"),
    shell:
        "safe gate {params.folder:q} {wildcards.experiment:q} 2>&1 | tee {log:q}"
