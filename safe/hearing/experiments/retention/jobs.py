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

from safe.digest import digest_file
from safe.errors import TrainingError
from safe.hearing.artifacts import RETENTION_START
from safe.hearing.config import StageAConfig
from safe.hearing.context import Context
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.plan import START, plan, seeds_of
from safe.hearing.experiments.training_setup import PeriodicEvaluation, TrainingSetup
from safe.hearing.training.batching import Feeder
from safe.hearing.training.held_out import subsample_evenly
from safe.hearing.training.stage_a import StageA, StageARun
from safe.hearing.training.warm_start import warm_start
from safe.pipeline.job_results import write_rows

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


def run(context: Context, job: str, setup: RetentionTraining) -> dict[str, Any]:
    """Train a job with every seed. Returns the content of result.json."""
    config = context.config
    settings = plan(config, job)
    if job == START:
        return setup.start(settings, context.folder)
    drift: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    diverged: dict[str, str] = {}
    fit: dict[str, Any] = {}
    taken_out: dict[str, float | None] = {}
    penalty: dict[str, float] = {}  # largest unweighted KL of a step
    for seed in seeds_of(config, job):
        checkpoint = context.folder / f"seed_{seed}.pt"
        try:
            stage, seen, trained = setup.train(settings, seed, checkpoint, f"09 {job}, seed {seed}")
        except TrainingError as error:
            diverged[str(seed)] = str(error)
            continue
        rows = setup.evaluate_held_out(stage)
        seen.append(setup.summary(settings.steps, rows))
        drift += [{"seed": seed, **row} for row in seen]
        penalty[str(seed)] = max(record.divergence for record in trained.history)
        items += [{"seed": seed, **row} for row in rows]
        if stage.retention:
            fit = asdict(stage.retention.fit)
            taken_out[str(seed)] = stage.retention.mean_taken_out
    write_rows(context.folder / DRIFT, drift)
    write_rows(context.folder / ITEMS, items)
    return {
        "job": job,
        "settings": settings.model_dump(mode="json"),
        "seeds": seeds_of(config, job),
        "diverged": diverged,
        "penalty": penalty,
        "null_space": {"memory": fit, "share_of_update_taken_out": taken_out},
        "digests": setup.opened.digests | {"manifest": digest_file(context.manifest)},
    }


class RetentionTraining(TrainingSetup):
    """Training and held-out examples, the same for every job and seed."""

    def __init__(self, context: Context) -> None:
        own = RetentionSettings.of(context.config)
        super().__init__(context, rows=own.rows)
        self.vl_examples = self.held_out_vl(own.vl_items)
        self.drifting = subsample_evenly(self.vl_examples, own.drift_items)
        self.audio_examples = self.held_out_audio("val", own.audio_items)
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
        self.opened.save(model, folder / "adapter")
        heard = self.evaluate(feeder, {"audio": self.audio_examples}, with_base=())
        return {
            "job": START,
            "settings": settings.model_dump(mode="json"),
            "audio_accuracy": sum(row["right"] for row in heard) / len(heard),
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
        watch = PeriodicEvaluation(model, steps, lambda step: self.look(feeder, step))
        if self._first is None:
            self._first = self.look(feeder, 0)
        watch.seen.append(self._first)
        trained = stage.train(config, checkpoint=checkpoint, folder=None, name=name, watch=watch)
        return stage, watch.seen, trained

    def evaluate_held_out(self, stage: StageA) -> list[dict[str, Any]]:
        """Evaluate all held-out examples: correctness and drift from the base."""
        kinds = {"vl": self.vl_examples, "audio": self.audio_examples}
        return self.evaluate(stage.feeder, kinds, with_base=("vl",))

    def look(self, feeder: Feeder, step: int) -> dict[str, Any]:
        """Drift and audio accuracy on the examples that are evaluated during training."""
        kinds = {"vl": self.drifting, "audio": self.audio_examples}
        return self.summary(step, self.evaluate(feeder, kinds, with_base=("vl",)))

    def summary(self, step: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What `look` returns at `step`, computed from the answers to all held-out examples."""
        ids = {row.sample.id for row in self.drifting}
        drifts = [row["drift"] for row in rows if row["kind"] == "vl" and row["id"] in ids]
        right = [row["right"] for row in rows if row["kind"] == "audio"]
        return {
            "step": step,
            "drift": math.fsum(drifts) / len(drifts),
            "audio_accuracy": sum(right) / len(right),
        }
