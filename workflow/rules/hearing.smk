# Artifacts shared by the experiments of `hearing`: data, frozen models and cached features.

from safe.hearing.prepare import READS, released_weights


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
        settings=RUN.settings(READS["data"]),
        code=RUN.code_of("safe.hearing.prepare.data"),
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
        settings=RUN.settings(READS["base"]),
        weights=released_weights(RUN.config),
        code=RUN.code_of("safe.hearing.prepare.base"),
    shell:
        "safe prepare-base --config {params.config:q} 2>&1 | tee {log:q}"


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
        settings=RUN.settings(READS["features"]),
        code=RUN.code_of("safe.hearing.prepare.features"),
    shell:
        "safe prepare-features --config {params.config:q} 2>&1 | tee {log:q}"
