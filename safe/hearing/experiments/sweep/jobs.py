"""The trainings of experiment 10: one job per cell of the grid, or per rung of a cell.

`plan.py` names the jobs. Each writes to 10_sweep/jobs/NAME: result.json, items.parquet.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from safe.digest import digest_file
from safe.errors import EvidenceError, TrainingError
from safe.files import atomic
from safe.hearing.context import Context
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import (
    CHOSEN_ON,
    ITEMS,
    SweepSegment,
    cells,
    job_name,
    let_through,
    segment_of,
    settings,
)
from safe.hearing.experiments.training_setup import PeriodicEvaluation, TrainingSetup
from safe.hearing.training.batching import Feeder
from safe.hearing.training.held_out import SPLITS
from safe.hearing.training.stage_a import StageA
from safe.hearing.training.tracking import close
from safe.pipeline.job_results import read_result, write_rows

STATE = "trained.state"  # checkpoint that is kept for the next rung


def prepare(context: Context, wanted: Sequence[str]) -> SweepTraining:
    """Prepare the state shared by all jobs.

    Raises:
        ConfigError: there is no such job.
    """
    for job in wanted:
        segment_of(SweepSettings.of(context.config), job)
    return SweepTraining(context)


def run(context: Context, job: str, setup: SweepTraining) -> dict[str, Any]:
    """Train a job and evaluate it. Returns the content of result.json."""
    config = context.config
    mine = segment_of(SweepSettings.of(config), job)
    own = settings(config, mine.cell)
    result: dict[str, Any] = {
        "job": job,
        "cell": mine.cell.name,
        "settings": own.model_dump(mode="json"),
        "seed": config.seed,
        "dropped": False,
        "diverged": None,
        "looks": [],
        "losses": [],
        "digests": setup.opened.digests | {"manifest": digest_file(context.manifest)},
    }
    jobs = context.folder.parent
    if mine.rung is not None and mine.rung > 1:
        previous = standing(jobs, SweepSettings.of(config), mine.rung - 1)
        if mine.cell.name not in let_through(SweepSettings.of(config), previous):
            (jobs / job_name(mine.cell, mine.rung - 1) / STATE).unlink(missing_ok=True)
            return {**result, "dropped": True}
    model = setup.opened.build(config, seed=config.seed)
    feeder = setup.feeder(model)
    stage = StageA(feeder, setup.rows, setup.teacher, own, config.seed)
    state = _state(context.folder, mine)
    looks = PeriodicEvaluation(
        model,
        SweepSettings.of(config).rungs,
        lambda step: summary(setup.evaluate_held_out(feeder, [CHOSEN_ON]), step),
    )
    last = mine.until == SweepSettings.of(config).steps
    trainer = stage.trainer(config, checkpoint=state, watch=looks)
    try:
        trainer.begin()
        start = len(trainer.history)
        with tqdm(total=mine.until, initial=start, desc=f"10 {job}", unit="step") as bar:
            while len(trainer.history) < mine.until:
                trainer.advance(bar)
        trainer.save()
        model.eval()
        rows = setup.evaluate_held_out(feeder, SPLITS)
        write_rows(context.folder / ITEMS, rows)
        result["looks"] = [*looks.seen, *([summary(rows, mine.until)] if last else [])]
    except TrainingError as error:
        result |= {"diverged": str(error), "looks": looks.seen}  # the cell's result
    finally:
        close(trainer.accelerator)
    result["losses"] = [record.loss for record in trainer.history]
    if last:
        state.unlink(missing_ok=True)
    return result


def _state(folder: Path, mine: SweepSegment) -> Path:
    """Path of the job's checkpoint; later rungs first copy that of the previous rung."""
    state = folder / STATE
    if mine.rung is not None and mine.rung > 1 and not state.exists():
        before = folder.parent / job_name(mine.cell, mine.rung - 1) / STATE
        if not before.exists():
            raise EvidenceError(
                "the previous rung left no checkpoint to continue from",
                where=before,
                hint="delete the cell's folders below 10_sweep/jobs and start the run again",
            )
        with atomic(state) as temporary:
            shutil.copyfile(before, temporary)
        before.unlink()
    return state


def standing(jobs: Path, config: SweepSettings, rung: int) -> dict[str, dict[str, float] | None]:
    """Return cell -> its last evaluation at a rung of successive halving; None if it diverged.

    Cells that were dropped before that rung are omitted.

    Raises:
        EvidenceError: a job of that rung was not run.
    """
    found: dict[str, dict[str, float] | None] = {}
    for cell in cells(config):
        result = read_result(jobs / job_name(cell, rung))
        if not result["dropped"]:
            found[cell.name] = None if result["diverged"] else result["looks"][-1]
    return found


class SweepTraining(TrainingSetup):
    """Training and held-out examples, the same for every cell."""

    def __init__(self, context: Context) -> None:
        own = SweepSettings.of(context.config)
        super().__init__(context, rows=own.rows)
        self.vl_examples = {s: self.held_out_vl(own.vl_items, (s,)) for s in SPLITS}
        self.audio_examples = {s: self.held_out_audio(s, own.audio_items) for s in SPLITS}
        for rows in self.audio_examples.values():
            self.teacher.ensure(rows)

    def evaluate_held_out(self, feeder: Feeder, splits: Sequence[str]) -> list[dict[str, Any]]:
        """Evaluate all held-out examples of `splits`, with the correctness of SAFE and base."""
        found = (("audio", self.audio_examples), ("vl", self.vl_examples))
        kinds = {kind: [row for s in splits for row in by[s]] for kind, by in found}
        return self.evaluate(feeder, kinds, with_base=kinds)


def summary(rows: Sequence[Mapping[str, Any]], step: int) -> dict[str, float]:
    """Validation results at `step`, which decide a rung."""
    mine = [row for row in rows if row["split"] == CHOSEN_ON]
    heard, seen = ([row for row in mine if row["kind"] == kind] for kind in ("audio", "vl"))
    lost = sum(bool(row["base_right"]) for row in seen) - sum(row["right"] for row in seen)
    return {
        "step": step,
        "audio_accuracy": sum(row["right"] for row in heard) / len(heard),
        "vl_drop": lost / len(seen),
    }
