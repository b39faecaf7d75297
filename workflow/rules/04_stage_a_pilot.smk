PILOT_04 = ["distilled", "undistilled"]
ABLATION_04 = [
    f"k{k}_r{rank}" for k in RUN.config.pilot.audio_tokens for rank in RUN.config.pilot.ranks
]
PARTS_04 = PILOT_04 + ABLATION_04


rule pilot_04:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("04_stage_a_pilot")),
        parents=RUN.parents("04_stage_a_pilot"),
    output:
        RUN.path("04_stage_a_pilot", "parts", "{part}", "result.json"),
    log:
        RUN.path("logs", "pilot_04_{part}.log"),
    benchmark:
        RUN.path("benchmarks", "pilot_04_{part}.tsv")
    wildcard_constraints:
        part="|".join(PILOT_04),
    priority: 1  # the longest first: a cell that waits costs less than a training that starts last
    conda:
        "../../environment.yml"
    threads: RUN.part_threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.experiments.stage_a_pilot_parts"),
        code=RUN.code_of("safe.hearing.experiments.stage_a_pilot_parts"),
    shell:
        "safe part 04_stage_a_pilot {wildcards.part:q} --config {params.config:q} 2>&1 | tee {log:q}"


for number, names in enumerate(RUN.jobs(ABLATION_04, size=5)):

    rule:
        name:
            f"ablation_04_{number}"
        input:
            features=RUN.path("features.json"),
            go=ancient(RUN.go("04_stage_a_pilot")),
            parents=RUN.parents("04_stage_a_pilot"),
        output:
            expand(RUN.path("04_stage_a_pilot", "parts", "{part}", "result.json"), part=names),
        log:
            RUN.path("logs", f"ablation_04_{number}.log"),
        benchmark:
            RUN.path("benchmarks", f"ablation_04_{number}.tsv")
        conda:
            "../../environment.yml"
        threads: RUN.part_threads
        params:
            names=names,
            config=RUN_CONFIG,
            settings=RUN.settings_of("safe.hearing.experiments.stage_a_pilot_parts"),
            code=RUN.code_of("safe.hearing.experiments.stage_a_pilot_parts"),
        shell:
            "safe part 04_stage_a_pilot {params.names:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_04:
    input:
        expand(RUN.path("04_stage_a_pilot", "parts", "{part}", "result.json"), part=PARTS_04),
        features=RUN.path("features.json"),
        go=ancient(RUN.go("04_stage_a_pilot")),
        parents=RUN.parents("04_stage_a_pilot"),
    output:
        RUN.path("04_stage_a_pilot", "measurement.json"),
    log:
        RUN.path("logs", "measure_04.log"),
    benchmark:
        RUN.path("benchmarks", "measure_04.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("04_stage_a_pilot"),
        code=RUN.code("04_stage_a_pilot"),
    shell:
        "safe measure 04_stage_a_pilot --config {params.config:q} 2>&1 | tee {log:q}"
