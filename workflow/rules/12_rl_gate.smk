from safe.hearing.experiments import rl_gate_plan

PARTS_12 = rl_gate_plan.trainings(RUN.config)


rule parts_12:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("12_rl_gate")),
        parents=RUN.parents("12_rl_gate"),
    output:
        RUN.path("12_rl_gate", "parts", "{part}", "result.json"),
    log:
        RUN.path("logs", "parts_12_{part}.log"),
    benchmark:
        RUN.path("benchmarks", "parts_12_{part}.tsv")
    wildcard_constraints:
        part="|".join(PARTS_12),
    conda:
        "../../environment.yml"
    threads: RUN.part_threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.experiments.rl_gate_parts"),
        code=RUN.code_of("safe.hearing.experiments.rl_gate_parts"),
    shell:
        "safe part 12_rl_gate {wildcards.part:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule outcomes_12:
    input:
        expand(RUN.path("12_rl_gate", "parts", "{part}", "result.json"), part=PARTS_12),
    output:
        RUN.path("12_rl_gate", "parts", "outcomes", "result.json"),
    log:
        RUN.path("logs", "outcomes_12.log"),
    benchmark:
        RUN.path("benchmarks", "outcomes_12.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.experiments.rl_gate_parts"),
        code=RUN.code_of("safe.hearing.experiments.rl_gate_parts"),
    shell:
        "safe part 12_rl_gate outcomes --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_12:
    input:
        RUN.path("12_rl_gate", "parts", "outcomes", "result.json"),
        go=ancient(RUN.go("12_rl_gate")),
        parents=RUN.parents("12_rl_gate"),
    output:
        RUN.path("12_rl_gate", "measurement.json"),
    log:
        RUN.path("logs", "measure_12.log"),
    benchmark:
        RUN.path("benchmarks", "measure_12.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("12_rl_gate"),
        code=RUN.code("12_rl_gate"),
    shell:
        "safe measure 12_rl_gate --config {params.config:q} 2>&1 | tee {log:q}"
