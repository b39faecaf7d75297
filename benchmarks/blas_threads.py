"""Speed of CLAP's feature extractor on one BLAS thread (as in the Snakefile) and on all threads.

    python benchmarks/blas_threads.py

Two processes run in parallel, like two jobs of a run, and compute log-mel spectrograms. NumPy reads
the number of threads when it is imported, so each turn starts new processes; turns alternate.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from safe.gates.statistics import ratio_bootstrap

SNAKEFILE = Path(__file__).resolve().parent.parent / "Snakefile"


def settings() -> dict[str, str]:
    """Return OPENBLAS_NUM_THREADS as the Snakefile sets it."""
    found = dict(re.findall(r"(OPENBLAS_NUM_THREADS)=(\d+)", SNAKEFILE.read_text(encoding="utf-8")))
    if not found:
        sys.exit(f"{SNAKEFILE} does not set OPENBLAS_NUM_THREADS; there is nothing to measure")
    return found


def extract(clips: int) -> None:
    """Run in the measured process: extract features of `clips` clips and print the seconds."""
    import numpy as np
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor()
    rate, rng = extractor.sampling_rate, np.random.default_rng(0)
    waves = list(rng.normal(size=(clips, 2 * rate)).astype(np.float32) / 10)
    extractor(waves[:1], sampling_rate=rate, return_tensors="pt")
    start = time.perf_counter()
    extractor(waves, sampling_rate=rate, return_tensors="pt")
    print(time.perf_counter() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--turns", type=int, default=8, help="turns of each variant, at least 8")
    parser.add_argument("--jobs", type=int, default=2, help="number of parallel processes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        extract(given.clips)
        return 0
    threads = re.compile(r"(OPENBLAS|OMP|MKL)_NUM_THREADS")
    plain = {name: value for name, value in os.environ.items() if not threads.fullmatch(name)}
    variants = {"one thread": plain | settings(), "all threads": plain}
    found: dict[str, list[float]] = {variant: [] for variant in variants}
    command = [sys.executable, __file__, "--child", "--clips", str(given.clips)]
    for turn in range(given.turns):
        print(f"turn {turn + 1} of {given.turns}", file=sys.stderr, flush=True)
        for variant in variants if turn % 2 else reversed(variants):
            jobs = [
                subprocess.Popen(command, env=variants[variant], text=True, stdout=subprocess.PIPE)
                for _ in range(given.jobs)
            ]
            taken = [float(job.communicate()[0]) for job in jobs]
            found[variant].append(sum(taken) / len(taken))
    for variant, seconds in found.items():
        each = 1000 * sum(seconds) / len(seconds) / given.clips
        print(f"{variant:12}{each:8.1f} ms per clip, {given.jobs} parallel processes")
    interval = ratio_bootstrap(found["all threads"], found["one thread"], seed=0)
    ratio = sum(found["all threads"]) / sum(found["one thread"])
    print(f"ratio {ratio:8.2f}   (95 %: {interval.low:.2f} to {interval.high:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
