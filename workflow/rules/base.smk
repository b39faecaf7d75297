# Data and frozen models: made or opened once, shared by every experiment.


rule prepare_data:
    output:
        manifest=RUN.path("data", "manifest.parquet"),
        media=RUN.path("data", "media.parquet"),
        summary=RUN.path("data", "data.json"),
    log:
        RUN.path("logs", "prepare_data.log"),
    benchmark:
        RUN.path("benchmarks", "prepare_data.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.data.prepare"),
        code=RUN.code_of("safe.hearing.data.prepare"),
    shell:
        "safe prepare-data --config {params.config:q} 2>&1 | tee {log:q}"


rule prepare_base:
    input:
        data=RUN.path("data", "data.json"),
        go=ancient(RUN.token("01_data_preflight", RUN.path("base.json"))),
    output:
        RUN.path("base.json"),
    log:
        RUN.path("logs", "prepare_base.log"),
    benchmark:
        RUN.path("benchmarks", "prepare_base.tsv")
    conda:
        "../../environment.yml"
    threads: RUN.config.threads
    params:
        config=RUN_CONFIG,
        settings=RUN.settings_of("safe.hearing.training.prepare_base"),
        weights=RUN.weights,
        code=RUN.code_of("safe.hearing.training.prepare_base"),
    shell:
        "safe prepare-base --config {params.config:q} 2>&1 | tee {log:q}"
