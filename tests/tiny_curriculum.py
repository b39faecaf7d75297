"""The tiny gating run with a gate and a curriculum, for experiments 08 and 09.

The tiny base is random and never correct, so the base's own answers count as correct for VL
examples. Without this, no VL accuracy could be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.context import Context
from safe.hearing.experiments.gating.measure import measure
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.teacher_forcing import ForcedAnswer
from safe.hearing.training.teacher_forcing import teacher_forced as real_forced
from tests.judging import with_limits
from tests.tiny_gating import make_gating_run

# Accuracy jumps after ten steps (0.5, 0.25, 0.75), so any use of audio passes a stage.
STAGE = {"epochs": 1, "difficulties": ["easy"], "max_vl_drop": 0.2}
CURRICULUM = {
    "batch_size": 20,
    "ratio_step": 0.1,
    "stages": [
        {"name": "first", "audio_ratio": 0.3, "min_audio_accuracy": 0.1, **STAGE},
        {"name": "second", "audio_ratio": 0.5, "min_audio_accuracy": 0.1, **STAGE,
         "augmentation": {"noise": 0.3, "noise_snr_db": [10.0, 20.0]}},
        {"name": "third", "audio_ratio": 0.5, "min_audio_accuracy": 0.1, **STAGE},
    ],
    "rehearsal": {"rows": 200, "held_out": 60, "checkpoint_every": 3, "kills": 1},
}  # fmt: skip
RETENTION = {
    "start_steps": 60,
    "steps": 60,
    # Training without retention must leave some VL accuracy: 0.45 to 0.91 over four seeds (0 to
    # 0.28 at 0.4).
    "lr_factor": 0.3,
    "rows": 200,
    "batch_size": 16,
    "seeds": 2,
    "null_space": 80,
    "weights": [1.0, 5.0, 10.0],
    "drift_every": 30,
    "drift_items": 40,
    "vl_items": 1000,
    "audio_items": 60,
}


def make_curriculum_run(root: Path) -> RunConfig:
    """Return a run with the pilot trained and 05 measured."""
    config = make_gating_run(root)
    measure(Context(config=config, folder=config.folder / "05_gating"))
    values = config.model_dump(mode="json") | {"curriculum": CURRICULUM, "retention": RETENTION}
    values["stage_a"] |= {
        "distillation": 5.0,
        "retention_rows": 80,
        "null_space_update_interval": 30,
    }
    config = parse_run_config(values, "tests/tiny_curriculum.py")
    wide = {"vl_drop_high": 0.5, "audio_loss_high": 0.3}
    return with_limits(config, lambda_selected=wide)


@torch.no_grad()
def teacher_forced(
    feeder: Feeder, rows: Sequence[Example], teacher: Teacher | None = None
) -> list[ForcedAnswer]:
    """As in the product, but for VL examples with a teacher the base's own answer is correct."""
    found = real_forced(feeder, rows, teacher)
    if teacher is None or any(row.sample.task != "vl" for row in rows):
        return found
    agrees: list[bool] = []
    for batch in batches(rows):
        inputs = feeder.scoring(batch)
        mask = inputs["answer_mask"].bool()
        student = feeder.model.answer_logits(**inputs)[mask].argmax(-1)
        same = (student == teacher.logits(batch).argmax(-1)).split([len(r.answer) for r in batch])
        agrees += [bool(tokens.all()) for tokens in same]
    return [ForcedAnswer(a, True, f.drift) for a, f in zip(agrees, found, strict=True)]
