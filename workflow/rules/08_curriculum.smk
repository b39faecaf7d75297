from safe.experiments.curriculum_script import PARTS as PARTS_08

*WHOLE_08, RESUMED_08 = PARTS_08


rule part_08:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("08_curriculum")),
        parents=RUN.parents("08_curriculum"),
    output:
        RUN.path("08_curriculum", "parts", "{part}", "result.json"),
    log:
        RUN.path("logs", "part_08_{part}.log"),
    benchmark:
        RUN.path("benchmarks", "part_08_{part}.tsv")
    wildcard_constraints:
        part="|".join(WHOLE_08),
    conda:
        "../../environment.yml"
    threads: RUN.part_threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("seed", "adapter", "stage_a", "pilot", "curriculum", "device"),
        code=RUN.code_of("safe.experiments.curriculum_parts"),
    shell:
        "safe part 08_curriculum {wildcards.part:q} --config {params.config:q} 2>&1 | tee {log:q}"


# First of all, as it takes longest: it is killed and started again.
use rule part_08 as resumed_08 with:
    wildcard_constraints:
        part=RESUMED_08,
    priority: 1


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
        settings=RUN.settings("curriculum"),
        code=RUN.code("08_curriculum"),
    shell:
        "safe measure 08_curriculum --config {params.config:q} 2>&1 | tee {log:q}"
