from safe.hearing.experiments import retention_plan

PARTS_09 = retention_plan.dearest_first(RUN.config)


rule start_09:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("09_retention")),
        parents=RUN.parents("09_retention"),
    output:
        RUN.path("09_retention", "parts", "start", "result.json"),
    log:
        RUN.path("logs", "start_09.log"),
    benchmark:
        RUN.path("benchmarks", "start_09.tsv")
    priority: 2  # all of 09 waits for it, and fills up what the parts of 10 leave
    conda:
        "../../environment.yml"
    threads: RUN.part_threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.experiments.retention_parts"),
        code=RUN.code_of("safe.hearing.experiments.retention_parts"),
    shell:
        "safe part 09_retention start --config {params.config:q} 2>&1 | tee {log:q}"


for number, names in enumerate(RUN.jobs(PARTS_09, size=2)):

    rule:
        name:
            f"parts_09_{number}"
        input:
            start=RUN.path("09_retention", "parts", "start", "result.json"),
            features=RUN.path("features.json"),
            go=ancient(RUN.go("09_retention")),
            parents=RUN.parents("09_retention"),
        output:
            expand(RUN.path("09_retention", "parts", "{part}", "result.json"), part=names),
        log:
            RUN.path("logs", f"parts_09_{number}.log"),
        benchmark:
            RUN.path("benchmarks", f"parts_09_{number}.tsv")
        conda:
            "../../environment.yml"
        threads: RUN.part_threads
        params:
            names=names,
            config=RUN_CONFIG,
            settings=RUN.settings_of("safe.hearing.experiments.retention_parts"),
            code=RUN.code_of("safe.hearing.experiments.retention_parts"),
        shell:
            "safe part 09_retention {params.names:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_09:
    input:
        expand(RUN.path("09_retention", "parts", "{part}", "result.json"), part=PARTS_09),
        go=ancient(RUN.go("09_retention")),
        parents=RUN.parents("09_retention"),
    output:
        RUN.path("09_retention", "measurement.json"),
    log:
        RUN.path("logs", "measure_09.log"),
    benchmark:
        RUN.path("benchmarks", "measure_09.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("09_retention"),
        code=RUN.code("09_retention"),
    shell:
        "safe measure 09_retention --config {params.config:q} 2>&1 | tee {log:q}"
