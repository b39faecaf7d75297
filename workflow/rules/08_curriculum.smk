from safe.hearing.experiments.curriculum_script import PARTS as PARTS_08

for number, names in enumerate(RUN.jobs(PARTS_08, size=2)):

    rule:
        name:
            f"parts_08_{number}"
        input:
            features=RUN.path("features.json"),
            go=ancient(RUN.go("08_curriculum")),
            parents=RUN.parents("08_curriculum"),
        output:
            expand(RUN.path("08_curriculum", "parts", "{part}", "result.json"), part=names),
        log:
            RUN.path("logs", f"parts_08_{number}.log"),
        benchmark:
            RUN.path("benchmarks", f"parts_08_{number}.tsv")
        conda:
            "../../environment.yml"
        threads: RUN.part_threads
        params:
            names=names,
            config=RUN_CONFIG,
            settings=RUN.settings_of("safe.hearing.experiments.curriculum_parts"),
            code=RUN.code_of("safe.hearing.experiments.curriculum_parts"),
        shell:
            "safe part 08_curriculum {params.names:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_08:
    input:
        expand(RUN.path("08_curriculum", "parts", "{part}", "result.json"), part=PARTS_08),
        go=ancient(RUN.go("08_curriculum")),
        parents=RUN.parents("08_curriculum"),
    output:
        RUN.path("08_curriculum", "measurement.json"),
    log:
        RUN.path("logs", "measure_08.log"),
    benchmark:
        RUN.path("benchmarks", "measure_08.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("08_curriculum"),
        code=RUN.code("08_curriculum"),
    shell:
        "safe measure 08_curriculum --config {params.config:q} 2>&1 | tee {log:q}"
