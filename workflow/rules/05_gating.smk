rule measure_05:
    input:
        data=RUN.path("data", "data.json"),
        base=RUN.path("base.json"),
        go=ancient(RUN.go("05_gating")),
        parents=RUN.parents("05_gating"),
    output:
        RUN.path("05_gating", "measurement.json"),
    log:
        RUN.path("logs", "measure_05.log"),
    benchmark:
        RUN.path("benchmarks", "measure_05.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("05_gating"),
        code=RUN.code("05_gating"),
    shell:
        "safe measure 05_gating --config {params.config:q} 2>&1 | tee {log:q}"
