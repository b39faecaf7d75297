"""A tiny run with an adapter that hears, and questions about pictures that its base is sure of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.data.manifest import load_samples, write_manifest
from safe.pipeline.runner import run_job
from tests.tiny_run import make_pilot_run

EXPERIMENT = "05_gating"
SURE = "what colour is the dog?"  # entropies of 0.4 to 0.7 nats; of the sounds' question over 1.3
VL, SHARED = 520, 10
AGAIN = 200  # questions about sounds of test, each asked twice


def make_gating_run(root: Path, steps: int | None = None) -> RunConfig:
    """The pilot run, trained, with `VL` questions about pictures in each of val and test.

    `AGAIN` of the questions about sounds in test are asked twice.
    The first `SHARED` of val show pictures that test shows too.
    """
    config = make_pilot_run(root, steps)
    ask_about_pictures(config)
    run_job(config, "04_stage_a_pilot", "distilled")
    return changed(config, timed_items=6, timing_repeats=1)


def ask_about_pictures(config: RunConfig) -> None:
    """Put the questions that `make_gating_run` describes into the run's manifest."""
    manifest = config.folder / "data" / "manifest.parquet"
    samples = load_samples(manifest)
    pictures = [s for s in samples if s.task == "vl" and s.split == "test"]
    asked = [s for s in samples if s.task != "vl" or s.split == "train"]
    heard = [s for s in asked if s.task != "vl" and s.split == "test"]
    asked += [dataclasses.replace(s, id=f"{s.id}-again") for s in heard[:AGAIN]]
    for split in ("val", "test"):
        for i in range(VL):
            shared = split == "val" and i < SHARED
            asked.append(
                dataclasses.replace(
                    pictures[i % len(pictures)],
                    id=f"tiny/{split}/vl-{i}",
                    split=split,
                    question=SURE,
                    source=f"picture:{'test' if shared else split}:{i}",
                )
            )
    write_manifest(asked, manifest)


def changed(config: RunConfig, **gating: object) -> RunConfig:
    """The same run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["gating"] |= gating
    return parse_run_config(values, "tests/tiny_gating.py")
