rule measure_02:
    input:
        data=RUN.path("data", "data.json"),
        base=RUN.path("base.json"),
        go=ancient(RUN.go("02_base_parity")),
        parents=RUN.parents("02_base_parity"),
    output:
        RUN.path("02_base_parity", "measurement.json"),
    log:
        RUN.path("logs", "measure_02.log"),
    benchmark:
        RUN.path("benchmarks", "measure_02.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("02_base_parity"),
        code=RUN.code("02_base_parity"),
    shell:
        "safe measure 02_base_parity --config {params.config:q} 2>&1 | tee {log:q}"
