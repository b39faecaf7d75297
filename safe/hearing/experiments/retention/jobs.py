"""The trainings of experiment 09: one job per retention method, with all of its seeds.

`plan.py` names the jobs. Each writes to 09_retention/jobs/NAME: result.json, drift.parquet,
items.parquet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safe.digest import digest_file
from safe.errors import TrainingError
from safe.files import atomic
from safe.hearing.artifacts import RETENTION_START
from safe.hearing.config import StageAConfig
from safe.hearing.context import Context
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.plan import START, plan, seeds_of
from safe.hearing.experiments.training_setup import Looks, TrainingSetup
from safe.hearing.models.checkpoint import save_adapter
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example
from safe.hearing.training.held_out import audio_rows, subsample_evenly, vl_rows
from safe.hearing.training.stage_a import StageA, StageARun
from safe.hearing.training.teacher_forcing import ForcedAnswer, teacher_forced
from safe.hearing.training.warm_start import warm_start

ADAPTER = Path(RETENTION_START)
DRIFT, ITEMS = "drift.parquet", "items.parquet"


def prepare(context: Context, wanted: Sequence[str]) -> RetentionTraining:
    """Prepare the state shared by all jobs.

    Raises:
        ConfigError: there is no such job.
    """
    for job in wanted:
        plan(context.config, job)
    return RetentionTraining(context)


def run(context: Context, job: str, bench: RetentionTraining) -> dict[str, Any]:
    """Train a job with every seed. Returns the content of result.json."""
    config = context.config
    settings = plan(config, job)
    if job == START:
        return bench.start(settings, context.folder)
    drift: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    diverged: dict[str, str] = {}
    fit: dict[str, Any] = {}
    taken_out: dict[str, float | None] = {}
    penalty: dict[str, float] = {}  # largest unweighted KL of a step
    for seed in seeds_of(config, job):
        checkpoint = context.folder / f"seed_{seed}.pt"
        try:
            stage, seen, trained = bench.train(settings, seed, checkpoint, f"09 {job}, seed {seed}")
        except TrainingError as error:
            diverged[str(seed)] = str(error)
            continue
        asked = bench.ask(stage)
        seen.append(bench.summary(settings.steps, asked))
        drift += [{"seed": seed, **row} for row in seen]
        penalty[str(seed)] = max(record.divergence for record in trained.history)
        items += [{"seed": seed, **row} for row in asked]
        if stage.retention:
            fit = asdict(stage.retention.fit)
            taken_out[str(seed)] = stage.retention.mean_taken_out
    _write(context.folder / DRIFT, drift)
    _write(context.folder / ITEMS, items)
    return {
        "job": job,
        "settings": settings.model_dump(mode="json"),
        "seeds": seeds_of(config, job),
        "diverged": diverged,
        "penalty": penalty,
        "null_space": {"memory": fit, "share_of_update_taken_out": taken_out},
        "digests": bench.opened.digests | {"manifest": digest_file(context.manifest)},
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary)


class RetentionTraining(TrainingSetup):
    """Training and held-out examples, the same for every job and seed."""

    def __init__(self, context: Context) -> None:
        own = RetentionSettings.of(context.config)
        super().__init__(context, rows=own.rows)
        config, manifest = self.config, self.manifest
        vl_examples = vl_rows(config, manifest, self.features, self.encoder)
        self.vl_examples = subsample_evenly(vl_examples, own.vl_items)
        self.drifting = subsample_evenly(self.vl_examples, own.drift_items)
        audio_examples = audio_rows(config, manifest, "val", self.features, self.encoder)
        self.audio_examples = subsample_evenly(audio_examples, own.audio_items)
        self.teacher.ensure(self.vl_examples)
        # Evaluation before the first step; the same for every variant.
        self._first: dict[str, Any] | None = None

    def start(self, settings: StageAConfig, folder: Path) -> dict[str, Any]:
        """Train the adapter that all variants continue from. Returns the content of result.json."""
        config = self.config
        model = self.opened.build(config, seed=config.seed)
        feeder = self.feeder(model)
        stage = StageA(feeder, self.rows, self.teacher, settings, config.seed)
        stage.train(config, checkpoint=folder / "start.pt", folder=None, name="09 start")
        model.eval()
        save_adapter(
            model,
            folder / "adapter",
            base=self.opened.vlm_ref,
            audio_encoder=self.opened.audio_encoder_ref,
        )
        heard = teacher_forced(feeder, self.audio_examples)
        return {
            "job": START,
            "settings": settings.model_dump(mode="json"),
            "audio_accuracy": sum(a.right for a in heard) / len(heard),
            "digests": dict(self.opened.digests),
        }

    def train(
        self, settings: StageAConfig, seed: int, checkpoint: Path, name: str
    ) -> tuple[StageA, list[dict[str, Any]], StageARun]:
        """Continue training from `start`. Returns stage, evaluations before the end, and run."""
        config = self.config
        model = warm_start(config.folder / ADAPTER, self.opened, seed=seed).eval()
        feeder = self.feeder(model)
        stage = StageA(feeder, self.rows, self.teacher, settings, seed)
        every = RetentionSettings.of(config).drift_every  # and at the end, on all held-out examples
        steps = range(every, settings.steps, every)
        watch = Looks(model, steps, lambda step: self.look(feeder, step))
        if self._first is None:
            self._first = self.look(feeder, 0)
        watch.seen.append(self._first)
        trained = stage.train(config, checkpoint=checkpoint, folder=None, name=name, watch=watch)
        return stage, watch.seen, trained

    def ask(self, stage: StageA) -> list[dict[str, Any]]:
        """Evaluate all held-out examples: correctness and drift from the base."""
        feeder = stage.feeder
        kinds: dict[str, tuple[list[Example], list[ForcedAnswer]]] = {
            "vl": (self.vl_examples, teacher_forced(feeder, self.vl_examples, self.teacher)),
            "audio": (self.audio_examples, teacher_forced(feeder, self.audio_examples)),
        }
        return [
            {
                "kind": kind,
                "id": row.sample.id,
                "source": row.sample.image_source or row.sample.source,
                "right": answer.right,
                "base_right": answer.base_right,
                "drift": answer.drift if kind == "vl" else None,
            }
            for kind, (rows, answers) in kinds.items()
            for row, answer in zip(rows, answers, strict=True)
        ]

    def look(self, feeder: Feeder, step: int) -> dict[str, Any]:
        """Drift and audio accuracy on the examples that are evaluated during training."""
        drifts = [answer.drift for answer in teacher_forced(feeder, self.drifting, self.teacher)]
        return _seen(
            step, drifts, [answer.right for answer in teacher_forced(feeder, self.audio_examples)]
        )

    def summary(self, step: int, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What `look` returns at `step`, computed from the answers to all held-out examples."""
        ids = {row.sample.id for row in self.drifting}
        drifts = [row["drift"] for row in asked if row["kind"] == "vl" and row["id"] in ids]
        right = [row["right"] for row in asked if row["kind"] == "audio"]
        return _seen(step, drifts, right)


def _seen(step: int, drifts: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    return {
        "step": step,
        "drift": math.fsum(drifts) / len(drifts),
        "audio_accuracy": sum(right) / len(right),
    }
