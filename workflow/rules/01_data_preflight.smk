rule measure_01:
    input:
        manifest=RUN.path("data", "manifest.parquet"),
        media=RUN.path("data", "media.parquet"),
    output:
        RUN.path("01_data_preflight", "measurement.json"),
    log:
        RUN.path("logs", "measure_01.log"),
    benchmark:
        RUN.path("benchmarks", "measure_01.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings("01_data_preflight"),
        code=RUN.code("01_data_preflight"),
    shell:
        "safe measure 01_data_preflight --config {params.config:q} 2>&1 | tee {log:q}"
