# Every experiment: its parts, trained in jobs of their own, and its measurement.

for experiment in RUN.experiments:
    for group in RUN.groups(experiment):

        rule:
            name:
                f"part_{experiment[:2]}_{group.name}"
            input:
                after=RUN.results(experiment, group.after),
                artifacts=RUN.inputs(experiment),
                go=ancient(RUN.go(experiment)),
                parents=RUN.parents(experiment),
            output:
                RUN.results(experiment, group.parts),
            log:
                RUN.path("logs", f"part_{experiment[:2]}_{group.name}.log"),
            benchmark:
                RUN.path("benchmarks", f"part_{experiment[:2]}_{group.name}.tsv")
            priority: group.priority
            conda:
                "../../environment.yml"
            threads: RUN.part_threads
            params:
                experiment=experiment,
                parts=group.parts,
                config=RUN_CONFIG,
                settings=RUN.settings(RUN.declared[experiment].part_reads),
                code=RUN.code(experiment, "jobs"),
            shell:
                "safe part {params.experiment} {params.parts:q} --config {params.config:q} "
                "2>&1 | tee {log:q}"

    rule:
        name:
            f"measure_{experiment[:2]}"
        input:
            parts=RUN.all_results(experiment),
            artifacts=RUN.inputs(experiment),
            go=ancient(RUN.go(experiment)),
            parents=RUN.parents(experiment),
        output:
            RUN.path(experiment, "measurement.json"),
        log:
            RUN.path("logs", f"measure_{experiment[:2]}.log"),
        benchmark:
            RUN.path("benchmarks", f"measure_{experiment[:2]}.tsv")
        conda:
            "../../environment.yml"
        threads: RUN.measure_threads(experiment, workflow.cores)
        params:
            experiment=experiment,
            config=RUN_CONFIG,
            settings=RUN.settings(RUN.declared[experiment].reads),
            code=RUN.code(experiment, "measure"),
        shell:
            "safe measure {params.experiment} --config {params.config:q} 2>&1 | tee {log:q}"
