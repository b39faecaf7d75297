"""A tiny run with a trained adapter and VL questions on which its base has low entropy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from safe.hearing.artifacts import PILOT_BASE_ANSWERS
from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.data.manifest import load_samples, write_manifest
from safe.hearing.experiments.stage_a_pilot.evaluator import PilotEvaluator
from safe.hearing.training.frozen_models import open_base
from safe.pipeline.job_results import write_rows
from safe.pipeline.runner import run_job
from tests.tiny_run import make_pilot_run

EXPERIMENT = "05_gating"
VL_QUESTION = "what colour is the dog?"  # entropy 0.4 to 0.7 nats; over 1.3 for the audio question
VL, SHARED = 520, 10
REPEATED = 200  # number of audio questions in test that occur twice


def make_gating_run(root: Path, steps: int | None = None) -> RunConfig:
    """Return the trained pilot run, with `VL` VL questions in each of val and test.

    `REPEATED` of the audio questions in test occur twice. The first `SHARED` VL questions of val
    share their picture source with test.
    """
    config = make_pilot_run(root, steps)
    add_vl_questions(config)
    run_job(config, "04_stage_a_pilot", "distilled")
    manifest = config.folder / "data" / "manifest.parquet"
    answers = PilotEvaluator(config, manifest, open_base(config)).base_answers()
    write_rows(config.folder / PILOT_BASE_ANSWERS, answers)
    return changed(config, timed_items=6, timing_repeats=1)


def add_vl_questions(config: RunConfig) -> None:
    """Add the questions that `make_gating_run` describes to the run's manifest."""
    manifest = config.folder / "data" / "manifest.parquet"
    samples = load_samples(manifest)
    pictures = [s for s in samples if s.task == "vl" and s.split == "test"]
    kept = [s for s in samples if s.task != "vl" or s.split == "train"]
    audio = [s for s in kept if s.task != "vl" and s.split == "test"]
    kept += [dataclasses.replace(s, id=f"{s.id}-again") for s in audio[:REPEATED]]
    for split in ("val", "test"):
        for i in range(VL):
            shared = split == "val" and i < SHARED
            kept.append(
                dataclasses.replace(
                    pictures[i % len(pictures)],
                    id=f"tiny/{split}/vl-{i}",
                    split=split,
                    question=VL_QUESTION,
                    source=f"picture:{'test' if shared else split}:{i}",
                )
            )
    write_manifest(kept, manifest)


def changed(config: RunConfig, **gating: object) -> RunConfig:
    """Return the run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["gating"] |= gating
    return parse_run_config(values, "tests/tiny_gating.py")
