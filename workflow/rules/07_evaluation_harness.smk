rule measure_07:
    input:
        data=RUN.path("data", "data.json"),
        base=RUN.path("base.json"),
        go=ancient(RUN.go("07_evaluation_harness")),
        parents=RUN.parents("07_evaluation_harness"),
        references=RUN.config.evaluation.references.as_posix(),
    output:
        RUN.path("07_evaluation_harness", "measurement.json"),
    log:
        RUN.path("logs", "measure_07.log"),
    benchmark:
        RUN.path("benchmarks", "measure_07.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("07_evaluation_harness"),
        code=RUN.code("07_evaluation_harness"),
    shell:
        "safe measure 07_evaluation_harness --config {params.config:q} 2>&1 | tee {log:q}"
