# The experiments of a run's pipeline, each measured, judged and gated. See README.md.
import sys
from pathlib import Path

from safe.pipeline.workflow import open_run

# Only without --configfile: Snakemake would merge the two, and a dataset of one would
# appear in the other.
if "datasets" not in config:

    configfile: "config/config.yaml"


RUN = open_run(config, Path(workflow.basedir), ", ".join(map(str, workflow.configfiles)))
RUN_CONFIG = RUN.write_config()


# A progress bar that is written to a log as well need not move ten times a second. What a step of
# a training frees the next one takes again: glibc's malloc keeps it, up to these many bytes, which
# saves a page fault each (benchmarks/malloc.py). NumPy's BLAS multiplies matrices of one sound:
# beside another job its threads would mostly wait for one another (benchmarks/blas_threads.py).
# Python keeps its bytecode, even where the caller's environment says not to, as that of many images
# of containers does: without it each job compiles some 3,000 modules (benchmarks/imports.py).
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
