"""The tiny pilot run with VL questions in validation, for the sweep and the seeds.

The tiny base is random and never correct, so the base's own answers count as correct for VL
examples. Without this, no VL accuracy could be lost.
"""

from __future__ import annotations

from pathlib import Path

from safe.hearing.config import RunConfig, parse_run_config
from tests.judging import with_limits
from tests.tiny_gating import add_vl_questions
from tests.tiny_run import make_pilot_run

SWEEP = {
    "projector_lr": [2.5e-3, 5e-3, 1e-2],
    "lora_lr": [2.5e-3, 5e-3, 1e-2],
    "distillation": [1.0, 2.0, 4.0],
    "rows": 300,
    "steps": 60,
    "batch_size": 16,
    "rungs": [20, 40],
    "audio_items": 120,
    "vl_items": 300,
}


def make_sweep_run(root: Path, **sweep: object) -> RunConfig:
    """Return a run in which no cell is trained yet."""
    config = make_pilot_run(root)
    add_vl_questions(config)
    wide = {"vl_drop_high": 0.5, "behind_best_high": 0.3}
    wide |= {f"test_{name}": limit for name, limit in wide.items()}
    return with_limits(changed(config, **SWEEP | sweep), selected=wide)


def changed(config: RunConfig, **sweep: object) -> RunConfig:
    """Return the run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["sweep"] |= sweep
    return parse_run_config(values, "tests/tiny_sweep.py")
