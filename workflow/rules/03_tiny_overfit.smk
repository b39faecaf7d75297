rule measure_03:
    input:
        data=RUN.path("data", "data.json"),
        base=RUN.path("base.json"),
        go=ancient(RUN.go("03_tiny_overfit")),
        parents=RUN.parents("03_tiny_overfit"),
    output:
        RUN.path("03_tiny_overfit", "measurement.json"),
    log:
        RUN.path("logs", "measure_03.log"),
    benchmark:
        RUN.path("benchmarks", "measure_03.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("03_tiny_overfit"),
        code=RUN.code("03_tiny_overfit"),
    shell:
        "safe measure 03_tiny_overfit --config {params.config:q} 2>&1 | tee {log:q}"
