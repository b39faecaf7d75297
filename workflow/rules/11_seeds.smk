from safe.hearing.experiments import seeds_plan

PARTS_11 = seeds_plan.parts(RUN.config)


for number, names in enumerate(RUN.jobs(PARTS_11, size=1)):

    rule:
        name:
            f"parts_11_{number}"
        input:
            features=RUN.path("features.json"),
            go=ancient(RUN.go("11_seeds")),
            parents=RUN.parents("11_seeds"),
        output:
            expand(RUN.path("11_seeds", "parts", "{part}", "result.json"), part=names),
        log:
            RUN.path("logs", f"parts_11_{number}.log"),
        benchmark:
            RUN.path("benchmarks", f"parts_11_{number}.tsv")
        conda:
            "../../environment.yml"
        threads: RUN.part_threads
        params:
            names=names,
            config=RUN_CONFIG,
            settings=RUN.settings_of("safe.hearing.experiments.seeds_parts"),
            code=RUN.code_of("safe.hearing.experiments.seeds_parts"),
        shell:
            "safe part 11_seeds {params.names:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_11:
    input:
        expand(RUN.path("11_seeds", "parts", "{part}", "result.json"), part=PARTS_11),
        go=ancient(RUN.go("11_seeds")),
        parents=RUN.parents("11_seeds"),
    output:
        RUN.path("11_seeds", "measurement.json"),
    log:
        RUN.path("logs", "measure_11.log"),
    benchmark:
        RUN.path("benchmarks", "measure_11.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("11_seeds"),
        code=RUN.code("11_seeds"),
    shell:
        "safe measure 11_seeds --config {params.config:q} 2>&1 | tee {log:q}"
