# What frozen models make of every row, encoded once before jobs that run side by side need it.


rule prepare_features:
    input:
        data=RUN.path("data", "data.json"),
        base=RUN.path("base.json"),
        go=ancient(RUN.token("03_tiny_overfit", RUN.path("features.json"))),
    output:
        RUN.path("features.json"),
    log:
        RUN.path("logs", "prepare_features.log"),
    benchmark:
        RUN.path("benchmarks", "prepare_features.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.training.prepare_features"),
        code=RUN.code_of("safe.hearing.training.prepare_features"),
    shell:
        "safe prepare-features --config {params.config:q} 2>&1 | tee {log:q}"
