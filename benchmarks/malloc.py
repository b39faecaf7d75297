"""Speed of Stage A with the malloc settings of the Snakefile and with glibc's defaults.

    python benchmarks/malloc.py

Each turn is a separate process, because malloc reads the settings at start. It builds the miniature
with random weights, fills a cache and trains; only the steps are measured. Turns alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from safe.gates.statistics import ratio_bootstrap

SNAKEFILE = Path(__file__).resolve().parent.parent / "Snakefile"


def settings() -> dict[str, str]:
    """Return MALLOC_* as the Snakefile sets them."""
    found = dict(re.findall(r"(MALLOC_\w+)=(\d+)", SNAKEFILE.read_text(encoding="utf-8")))
    if not found:
        sys.exit(f"{SNAKEFILE} does not set MALLOC_*; there is nothing to measure")
    return found


def train(steps: int) -> None:
    """Run in the measured process: train, and print CPU seconds and page faults as JSON."""
    import torch
    from stage_a_throughput import build, make_samples

    from safe.hearing.config import StageAConfig
    from safe.hearing.models.safe_model import SafeModel
    from safe.hearing.training.batching import Feeder
    from safe.hearing.training.collate import TextEncoder
    from safe.hearing.training.features import Features
    from safe.hearing.training.stage_a import StageA, StageARows
    from safe.hearing.training.teacher import Teacher
    from safe.hearing.training.trainer import Trainer, TrainSettings

    torch.set_num_threads(1)
    opened, adapter, seconds, side = build("mini", torch.device("cpu"))
    with tempfile.TemporaryDirectory(prefix="safe-benchmark-") as name:
        folder = Path(name)
        samples = make_samples(folder, 128, opened.audio_encoder.sampling_rate, seconds, side)
        features, encoder = Features(opened, folder), TextEncoder(opened.vlm, opened.processor)
        with_audio = [s for s in samples if s.audio is not None]
        features.ensure(samples, with_audio)
        rows = StageARows(
            [encoder.row(s, s) for s in with_audio],
            [encoder.row(s, with_audio[0]) for s in samples if s.audio is None],
            with_audio,
            [],
        )
        model = SafeModel(opened.vlm, opened.audio_encoder, adapter, seed=0)
        config = StageAConfig(steps=steps, batch_size=64)
        stage = StageA(
            Feeder(model, features, encoder), rows, Teacher(features, encoder, folder), config, 0
        )
        loop = TrainSettings(steps, 1e-3, 1e-3, 0.05, 1.0, 0)
        trainer = Trainer(model, stage.batches(), stage.make, loop)
        model.train()
        for number in range(3):
            trainer.step(number)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for number in range(3, steps):
            trainer.step(number)
        after = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "user": after.ru_utime - before.ru_utime,
                "kernel": after.ru_stime - before.ru_stime,
                "faults": after.ru_minflt - before.ru_minflt,
                "peak_mb": after.ru_maxrss / 1024,
            }
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--turns", type=int, default=8, help="turns of each variant, at least 8")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        train(given.steps)
        return 0
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    variants = {"settings": plain | settings(), "plain": plain}
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    command = [sys.executable, __file__, "--child", "--steps", str(given.steps)]
    for turn in range(given.turns):
        print(f"turn {turn + 1} of {given.turns}", file=sys.stderr, flush=True)
        for variant in variants if turn % 2 else reversed(variants):
            done = subprocess.run(
                command, env=variants[variant], check=True, text=True, capture_output=True
            )
            found[variant].append(json.loads(done.stdout.splitlines()[-1]))
    print(" ".join(f"{name}={value}" for name, value in settings().items()))
    for variant, turns in found.items():
        medians = {name: statistics.median(t[name] for t in turns) for name in turns[0]}
        print(
            f"{variant:10}{medians['user']:8.2f} s user and {medians['kernel']:.2f} s kernel, "
            f"{medians['faults']:,.0f} page faults, peak {medians['peak_mb']:.0f} MB"
        )
    seconds = {name: [t["user"] + t["kernel"] for t in turns] for name, turns in found.items()}
    interval = ratio_bootstrap(seconds["plain"], seconds["settings"], seed=0)
    ratio = sum(seconds["plain"]) / sum(seconds["settings"])
    print(f"CPU ratio {ratio:8.3f}   (95 %: {interval.low:.3f} to {interval.high:.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
