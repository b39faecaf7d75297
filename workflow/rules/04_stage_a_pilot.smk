PARTS_04 = ["distilled", "undistilled"] + [
    f"k{k}_r{rank}" for k in RUN.config.pilot.audio_tokens for rank in RUN.config.pilot.ranks
]


rule part_04:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("04_stage_a_pilot")),
        parents=RUN.parents("04_stage_a_pilot"),
    output:
        RUN.path("04_stage_a_pilot", "parts", "{part}", "result.json"),
    log:
        RUN.path("logs", "part_04_{part}.log"),
    benchmark:
        RUN.path("benchmarks", "part_04_{part}.tsv")
    wildcard_constraints:
        part="|".join(PARTS_04),
    conda:
        "../../environment.yml"
    threads: RUN.part_threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("seed", "adapter", "stage_a", "pilot", "device"),
        code=RUN.code_of("safe.experiments.stage_a_pilot_parts"),
    shell:
        "safe part 04_stage_a_pilot {wildcards.part:q} --config {params.config:q} 2>&1 | tee {log:q}"


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
        settings=RUN.settings("seed", "adapter", "stage_a", "pilot", "profile", "device"),
        code=RUN.code("04_stage_a_pilot"),
    shell:
        "safe measure 04_stage_a_pilot --config {params.config:q} 2>&1 | tee {log:q}"
