# For every experiment: one rule per group of jobs (such as trainings) and one for the measurement.

for experiment in RUN.experiments:
    for group in RUN.groups(experiment):

        rule:
            name:
                f"job_{experiment[:2]}_{group.name}"
            input:
                after=RUN.results(experiment, group.after),
                artifacts=RUN.inputs(experiment),
                go=ancient(RUN.go(experiment)),
                parents=RUN.parents(experiment),
            output:
                RUN.results(experiment, group.jobs),
            log:
                RUN.path("logs", f"job_{experiment[:2]}_{group.name}.log"),
            benchmark:
                RUN.path("benchmarks", f"job_{experiment[:2]}_{group.name}.tsv")
            priority: group.priority
            conda:
                "../../environment.yml"
            threads: RUN.job_threads
            params:
                experiment=experiment,
                jobs=group.jobs,
                config=RUN_CONFIG,
                settings=RUN.settings(RUN.declared[experiment].job_reads),
                code=RUN.code(experiment, "jobs"),
            shell:
                "safe run-job {params.experiment} {params.jobs:q} --config {params.config:q} "
                "2>&1 | tee {log:q}"

    rule:
        name:
            f"measure_{experiment[:2]}"
        input:
            jobs=RUN.all_results(experiment),
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
