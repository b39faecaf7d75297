"""Run a config several times with different seeds and numerics, for `distances.py`.

    python benchmarks/variants.py FOLDER [--config config/config.yaml] [--only v3 v4] [--cores 2]

Every variant is a separate run below FOLDER (data, cache and results). A variant changes the world
seed, the run seed, the number of training threads, or the instruction set of matrix products. The
last two change the rounding of sums, as a different machine would.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
# Source of sitecustomize.py, which Python imports at start. It sets two training threads instead of
# one, also in the process that experiment 08 kills, which calls `run_job`.
TWO_THREADS = """
import sys
if any(a in ("measure", "run-job") or "run_job(" in a for a in sys.orig_argv):
    import torch
    from safe.hearing.training import frozen_models
    def use_threads(config):
        torch.set_num_threads(2)
        return 2
    frozen_models.use_threads = use_threads
"""


@dataclass(frozen=True)
class Variant:
    """Settings of one run.

    Attributes:
        world: seed of the miniature world; ignored for other data.
        seed: seed of the run.
        avx2: limit matrix products to AVX2.
        threads: number of training threads.
    """

    name: str
    world: int
    seed: int
    avx2: bool = False
    threads: int = 1


VARIANTS = (
    Variant("v1", world=7, seed=0),
    Variant("v2", world=8, seed=1),
    Variant("v3", world=9, seed=2, avx2=True),
    Variant("v4", world=11, seed=3, threads=2),
    Variant("v5", world=7, seed=4, avx2=True, threads=2),
    Variant("v6", world=12, seed=0, avx2=True),
    Variant("v7", world=13, seed=5),
    Variant("v8", world=14, seed=6, threads=2),
)


def command(variant: Variant, config: Path, cores: int) -> list[str]:
    """Return the `snakemake` command of a variant."""
    changes = [f"run={variant.name}", f"seed={variant.seed}"]
    if "world:" in config.read_text(encoding="utf-8"):
        changes.append(f"world={{root: data/{variant.name}, seed: {variant.world}}}")
    return [
        "snakemake",
        *("--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles" / "default")),
        *("--cores", str(cores), "--configfile", str(config)),
        *("--config", *changes),
    ]


def run(variant: Variant, folder: Path, config: Path, cores: int) -> int:
    """Run a variant and return the exit status of `snakemake`."""
    environment = os.environ | (AVX2 if variant.avx2 else {})
    if variant.threads > 1:
        plant = folder / "threads"
        plant.mkdir(exist_ok=True)
        (plant / "sitecustomize.py").write_text(TWO_THREADS)
        paths = [str(plant), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        # Waiting threads must yield their core: with another run on the machine, spinning takes 100
        # times as long.
        environment |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    with (folder / f"{variant.name}.log").open("w") as log:
        done = subprocess.run(
            command(variant, config, cores),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument("--only", nargs="+", default=[v.name for v in VARIANTS])
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not (folder / "config").exists():
        shutil.copytree(ROOT / "config", folder / "config")
    statuses = {
        variant.name: run(variant, folder, arguments.config.resolve(), arguments.cores)
        for variant in VARIANTS
        if variant.name in arguments.only
    }
    print(" ".join(f"{name}={status}" for name, status in statuses.items()))
    sys.exit(any(statuses.values()))


if __name__ == "__main__":
    main()
