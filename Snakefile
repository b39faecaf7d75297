# Measures, judges and gates every experiment of a run's pipeline. See README.md.
import sys
from pathlib import Path

from safe.pipeline.workflow import open_run

# Load the default only without --configfile: Snakemake would merge both files and their datasets.
if "datasets" not in config:

    configfile: "config/config.yaml"


FILES = ", ".join(map(str, workflow.configfiles))
RUN = open_run(config, Path(workflow.basedir), FILES, sys.argv)
RUN_CONFIG = RUN.write_config()


# TQDM_MININTERVAL: progress bars are also written to logs, so update them less often.
# MALLOC_*: glibc keeps freed memory up to these sizes. The next training step reuses it without
# page faults (benchmarks/malloc.py).
# OPENBLAS_NUM_THREADS: NumPy multiplies matrices of single sounds. With parallel jobs, more threads
# would mostly wait for each other (benchmarks/blas_threads.py).
# PYTHONDONTWRITEBYTECODE: many container images set it. Without bytecode each job compiles about
# 3,000 modules (benchmarks/imports.py).
shell.prefix(
    "set -euo pipefail; export PYTHONDONTWRITEBYTECODE= TQDM_MININTERVAL=2 OPENBLAS_NUM_THREADS=1 "
    "MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=1073741824; "
)


onstart:
    RUN.hold()
    print(RUN.power_line(), file=sys.stderr, flush=True)


wildcard_constraints:
    experiment=r"\d\d_[a-z0-9_]+",


rule all:
    default_target: True
    input:
        RUN.path("LAUNCH"),


include: "workflow/rules/experiments.smk"
include: "workflow/rules/gates.smk"
include: "workflow/rules/launch.smk"
include: "workflow/rules/report.smk"


for rules in RUN.own_rules:

    include: rules
