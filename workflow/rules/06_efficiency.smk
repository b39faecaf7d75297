rule measure_06:
    input:
        features=RUN.path("features.json"),
        go=ancient(RUN.go("06_efficiency")),
        parents=RUN.parents("06_efficiency"),
    output:
        RUN.path("06_efficiency", "measurement.json"),
    log:
        RUN.path("logs", "measure_06.log"),
    benchmark:
        RUN.path("benchmarks", "measure_06.tsv")
    conda:
        "../../environment.yml"
    # Alone on the machine: what it measures is time.
    threads: workflow.cores
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("06_efficiency"),
        code=RUN.code("06_efficiency"),
    shell:
        "safe measure 06_efficiency --config {params.config:q} 2>&1 | tee {log:q}"
