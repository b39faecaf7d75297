"""The trainings of experiment 04: the pilot's two arms, and the cells of the ablation.

`distilled` and `undistilled` train the config's adapter with and without the retention loss;
`k4_r8` and the like train other sizes for fewer steps. Each writes to
04_stage_a_pilot/jobs/NAME: result.json, steps.parquet, items.parquet, adapter/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from safe.digest import digest_file
from safe.errors import TrainingError
from safe.hearing.context import Context
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.hearing.experiments.stage_a_pilot.plan import ARMS, plan
from safe.hearing.experiments.training_setup import TrainingSetup
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example
from safe.hearing.training.held_out import audio_rows, swap_sounds, vl_rows
from safe.hearing.training.peak_memory import peak_memory, reset_peak_memory
from safe.hearing.training.stage_a import StageA
from safe.pipeline.job_results import write_rows

CELL_VL = 300  # held-out VL examples per ablation cell, gate ON


def prepare(context: Context, wanted: Sequence[str]) -> PilotTraining:
    """Prepare the state shared by all jobs.

    Raises:
        ConfigError: there is no such job.
    """
    for job in wanted:
        plan(context.config, job)
    return PilotTraining(context)


def run(context: Context, job: str, setup: PilotTraining) -> dict[str, Any]:
    """Train one job and evaluate it. Returns the content of result.json."""
    config, opened, rows = context.config, setup.opened, setup.rows
    adapter, settings = plan(config, job)
    model = opened.build(config.model_copy(update={"adapter": adapter}), seed=config.seed)
    reset_peak_memory(model.device)
    feeder = setup.feeder(model)
    stage = StageA(feeder, rows, setup.teacher, settings, config.seed)
    result: dict[str, Any] = {
        "job": job,
        "adapter": adapter.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "parameters": sum(p.numel() for p in model.trainable().values()),
        "rows": {"audio": len(rows.audio_examples), "vl": len(rows.vl_examples)},
        "digests": opened.digests | {"manifest": digest_file(context.manifest)},
        "seed": config.seed,
    }
    checkpoint = context.folder / "checkpoint.pt"
    try:
        trained = stage.train(
            config,
            checkpoint=checkpoint,
            folder=context.folder if job in ARMS else None,  # only the arms are tracked
            name=f"04 {job}",
        )
    except TrainingError as error:
        return {**result, "diverged": str(error)}  # a result; the DAG continues
    write_rows(context.folder / "steps.parquet", [asdict(r) for r in trained.history])
    answered = setup.answer(job, feeder, context.folder / "items.parquet")
    opened.save(model, context.folder / "adapter")
    return {
        **result,
        "diverged": None,
        "held_out": answered,
        "seconds": round(trained.seconds, 3),
        "samples_per_s": round(trained.samples_per_s, 1),
        "padding": round(trained.padding, 4),
        "resumed_at": trained.resumed_at,
        "peak_memory_bytes": peak_memory(model.device),
        "unusable_media": len(setup.features.faults),
    }


class PilotTraining(TrainingSetup):
    """Training and held-out examples, the same for every job."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.encoder.check_fits(self.rows.rows, max(PilotSettings.of(self.config).audio_tokens))
        self._heard: dict[str, list[Example]] = {}

    @cached_property
    def vl_examples(self) -> list[Example]:
        """Held-out VL examples, each paired with an unrelated sound."""
        return vl_rows(self.config, self.manifest, self.features, self.encoder)

    def heard(self, split: str) -> list[Example]:
        """Held-out examples of a split that need their sound."""
        if split not in self._heard:
            self._heard[split] = audio_rows(
                self.config, self.manifest, split, self.features, self.encoder
            )
        return self._heard[split]

    def answer(self, job: str, feeder: Feeder, path: Path) -> dict[str, Any]:
        """Answer held-out examples with the gate ON, write them to `path`; [right, n] by kind."""
        arm = job in ARMS
        kinds = {f"audio {split}": self.heard(split) for split in ("val", "test")[: 1 + arm]}
        if arm:
            kinds["audio swapped"] = swap_sounds(kinds["audio test"])
        vl_examples = self.vl_examples
        kinds["vl"] = (
            vl_examples if arm else vl_examples[:: math.ceil(len(vl_examples) / CELL_VL) or 1]
        )
        # to distinguish generalization from memorization
        kinds["train"] = self.rows.audio_examples[: len(kinds["audio val"])]
        table: list[dict[str, Any]] = []
        accuracy: dict[str, Any] = {}
        for kind, rows in kinds.items():
            answers = feeder.answers(rows)
            right = [same_answer(a, r.sample.answer) for a, r in zip(answers, rows, strict=True)]
            accuracy[kind] = [sum(right), len(right)]
            table += [
                {
                    "kind": kind,
                    "id": row.sample.id,
                    "source": row.sample.source,
                    "dataset": row.sample.dataset,
                    "task": row.sample.task,
                    "question_type": row.sample.question_type,
                    "heard": row.heard.id,
                    "answer": row.sample.answer,
                    "generated": given,
                    "correct": correct,
                }
                for row, given, correct in zip(rows, answers, right, strict=True)
            ]
        write_rows(path, table)
        return accuracy
