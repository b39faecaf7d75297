from safe.hearing.experiments import sweep_plan

ROUNDS_10 = sweep_plan.rounds(RUN.config.sweep)

# In successive halving a round needs all of the round before it: only then is it known which
# combinations go on.
for turn, round_10 in enumerate(ROUNDS_10):
    for number, names in enumerate(RUN.jobs(round_10, size=7)):

        rule:
            name:
                f"parts_10_{turn}_{number}"
            input:
                before=expand(
                    RUN.path("10_sweep", "parts", "{part}", "result.json"),
                    part=ROUNDS_10[turn - 1] if turn else [],
                ),
                features=RUN.path("features.json"),
                go=ancient(RUN.go("10_sweep")),
                parents=RUN.parents("10_sweep"),
            output:
                expand(RUN.path("10_sweep", "parts", "{part}", "result.json"), part=names),
            log:
                RUN.path("logs", f"parts_10_{turn}_{number}.log"),
            benchmark:
                RUN.path("benchmarks", f"parts_10_{turn}_{number}.tsv")
            priority: 1  # before those of 09, which are shorter
            conda:
                "../../environment.yml"
            threads: RUN.part_threads
            params:
                names=names,
                config=RUN_CONFIG,
                settings=RUN.settings_of("safe.hearing.experiments.sweep_parts"),
                code=RUN.code_of("safe.hearing.experiments.sweep_parts"),
            shell:
                "safe part 10_sweep {params.names:q} --config {params.config:q} 2>&1 | tee {log:q}"


rule measure_10:
    input:
        expand(
            RUN.path("10_sweep", "parts", "{part}", "result.json"),
            part=sum(ROUNDS_10, []),
        ),
        go=ancient(RUN.go("10_sweep")),
        parents=RUN.parents("10_sweep"),
    output:
        RUN.path("10_sweep", "measurement.json"),
    log:
        RUN.path("logs", "measure_10.log"),
    benchmark:
        RUN.path("benchmarks", "measure_10.tsv")
    conda:
        "../../environment.yml"
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("10_sweep"),
        code=RUN.code("10_sweep"),
    shell:
        "safe measure 10_sweep --config {params.config:q} 2>&1 | tee {log:q}"
