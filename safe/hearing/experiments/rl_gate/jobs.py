"""The jobs of experiment 12: an adapter for both lengths, one for the short length, outcomes.

`plan.py` names the jobs. The two trainings write to 12_rl_gate/jobs/NAME: result.json,
items.parquet, adapter/. `outcomes` writes result.json and items.parquet, the outcome of every
action for every question that is paired with a sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safe.digest import digest_file
from safe.errors import ConfigError, EvidenceError
from safe.gates.schema import Candidate
from safe.gates.statistics import paired_difference
from safe.hearing.artifacts import PILOT_ADAPTER
from safe.hearing.context import Context
from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.hearing.experiments.rl_gate.evaluator import ActionEvaluator
from safe.hearing.experiments.rl_gate.plan import (
    NESTED,
    OUTCOMES,
    SHORT,
    lengths,
    settings,
    trainings,
)
from safe.hearing.experiments.training_setup import TrainingSetup
from safe.hearing.models.checkpoint import RECORD
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.held_out import subsample_evenly
from safe.hearing.training.nested import NestedStageA
from safe.hearing.training.teacher_forcing import teacher_forced
from safe.hearing.training.warm_start import warm_start
from safe.pipeline.job_results import RESULT, read_result, read_rows, write_rows

PILOT = Path(PILOT_ADAPTER)
ITEMS = "items.parquet"
SPLITS = ("val", "test")  # policies are trained on the first and reported on the second


def prepare(context: Context, wanted: Sequence[str]) -> LengthTraining | None:
    """Prepare the state shared by the trainings; None if only `outcomes` is wanted.

    Raises:
        ConfigError: there is no such job.
    """
    known = [*trainings(context.config), OUTCOMES]
    for job in wanted:
        if job not in known:
            raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(known)}")
    return LengthTraining(context) if set(wanted) - {OUTCOMES} else None


def run(context: Context, job: str, setup: LengthTraining | None) -> dict[str, Any]:
    """Run a job. Returns the content of result.json."""
    if job == OUTCOMES:
        return tabulate(context)
    assert setup is not None
    return setup.train(context, job)


class LengthTraining(TrainingSetup):
    """Training examples, and validation questions that are evaluated at each length."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        limit = PolicySettings.of(self.config).audio_items
        self.audio_examples = self.held_out_audio("val", limit)

    def train(self, context: Context, job: str) -> dict[str, Any]:
        """Continue training the pilot's adapter at the job's numbers of audio tokens."""
        config, own = self.config, settings(self.config)
        short, long = lengths(config)
        model = warm_start(config.folder / PILOT, self.opened, seed=config.seed).eval()
        feeder = self.feeder(model)
        asked = [("pilot", long, self._ask(feeder, long))] if job == NESTED else []
        wanted = (short, long) if job == NESTED else (short,)
        stage = NestedStageA(feeder, self.rows, self.teacher, own, config.seed, lengths=wanted)
        trained = stage.train(
            config, checkpoint=context.folder / "checkpoint.pt", folder=None, name=f"12 {job}"
        )
        model.eval()
        self.opened.save(model, context.folder / "adapter")
        asked += [(job, k, self._ask(feeder, k)) for k in wanted]
        write_rows(
            context.folder / ITEMS,
            [
                {
                    "adapter": name,
                    "tokens": k,
                    "id": r.sample.id,
                    "source": r.sample.source,
                    "right": right,
                }
                for name, k, answers in asked
                for r, right in zip(self.audio_examples, answers, strict=True)
            ],
        )
        return {
            "job": job,
            "lengths": list(wanted),
            "settings": own.model_dump(mode="json"),
            "final_loss": trained.history[-1].loss,
            "pilot": digest_file(config.folder / PILOT / RECORD),
            "digests": self.opened.digests | {"manifest": digest_file(context.manifest)},
        }

    def _ask(self, feeder: Feeder, tokens: int) -> list[bool]:
        rows: Sequence[Example] = self.audio_examples
        return [answer.right for answer in teacher_forced(feeder, rows, tokens=tokens)]


# -- one adapter or two ---------------------------------------------------------------------------


def serving(context: Context, jobs: Path) -> tuple[Path, tuple[int, ...], dict[str, Any]]:
    """Return the adapter that the policy uses, its actions, and the reasons.

    The criteria select it: one adapter serves both lengths if it is no worse, by the upper bounds,
    than the pilot's at the long one and than one that was trained for the short one alone.
    Otherwise there is no short listening, which would need two adapters.

    Raises:
        EvidenceError: a job was not trained, or was trained with other settings or from another
            adapter than the pilot's current one.
    """
    config = context.config
    short, long = lengths(config)
    pilot = digest_file(config.folder / PILOT / RECORD)
    right: dict[tuple[str, int], dict[str, bool]] = {}
    sources: dict[str, str] = {}
    for job in (NESTED, SHORT):
        result = read_result(jobs / job)
        if result["pilot"] != pilot or result["settings"] != settings(config).model_dump(
            mode="json"
        ):
            raise EvidenceError(
                f"{job} was trained from another adapter or with other settings",
                where=jobs / job / RESULT,
                hint=f"delete the folder and run `safe run-job 12_rl_gate {job} --config ...`",
            )
        for row in read_rows(jobs / job, ITEMS):
            right.setdefault((row["adapter"], row["tokens"]), {})[row["id"]] = row["right"]
            sources[row["id"]] = row["source"]
    behind: dict[str, dict[str, Any]] = {}
    highs: list[float | None] = []
    for theirs, tokens in ((SHORT, short), ("pilot", long)):
        ours, other = right[NESTED, tokens], right[theirs, tokens]
        ids = sorted(other)
        try:
            interval = paired_difference(
                [float(other[i]) for i in ids],
                [float(ours[i]) for i in ids],
                seed=config.seed,
                clusters=[sources[i] for i in ids],
                identical_outputs=False,
            )
        except ValueError as error:  # too few questions, or all answered alike
            behind[f"{theirs} at {tokens}"] = {"unknown": str(error)}
            highs.append(0.0 if ours == other else None)
            continue
        behind[f"{theirs} at {tokens}"] = {"low": interval.low, "high": interval.high}
        highs.append(interval.high)
    known = [high for high in highs if high is not None]
    detail = {
        "accuracy": {
            f"{name} at {k}": sum(answers.values()) / len(answers)
            for (name, k), answers in right.items()
        },
        "nested_behind": behind,
        "nested_behind_high": max(known) if len(known) == len(highs) else None,
    }
    detail["adapter"] = context.select("adapter", adapters_of(detail)).selected
    if detail["adapter"] == NESTED:
        return jobs / NESTED / "adapter", (0, short, long), detail
    return config.folder / PILOT, (0, long), detail


def adapters_of(serving: Mapping[str, Any]) -> list[Candidate]:
    """The adapters that outcomes can be tabulated for, from the detail of `serving`."""
    behind = serving["nested_behind_high"]
    return [
        Candidate(name=NESTED, values={"behind_high": behind, "lengths": 2}),
        Candidate(name="pilot", values={"behind_high": 0.0, "lengths": 1}),
    ]


# -- outcomes -------------------------------------------------------------------------------------


def tabulate(context: Context) -> dict[str, Any]:
    """Answer every question under every action and time the actions."""
    config = context.config
    use_threads(config)
    opened = open_base(config)
    adapter, actions, detail = serving(context, context.folder.parent)
    evaluator = ActionEvaluator(config, context.manifest, adapter, opened)
    eval_set = {split: evaluator.eval_set(split) for split in SPLITS}
    table = [row for split in SPLITS for row in evaluator.outcomes(eval_set[split].rows, actions)]
    write_rows(context.folder / ITEMS, table)
    timed = subsample_evenly(eval_set[SPLITS[0]].rows, PolicySettings.of(config).timed_items)
    return {
        "job": OUTCOMES,
        "actions": list(actions),
        "serving": detail,
        "seconds": evaluator.seconds(
            timed, actions, repeats=PolicySettings.of(config).timing_repeats
        ),
        "left_out": {s: {"shared": o.shared, "unusable": o.unusable} for s, o in eval_set.items()},
        "digests": opened.digests
        | {"manifest": digest_file(context.manifest), "adapter": digest_file(adapter / RECORD)},
    }


def read_outcomes(context: Context) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """Return (adapter, result.json, rows) of the outcomes.

    Raises:
        EvidenceError: `outcomes` was not run, or used another adapter, manifest or set of actions.
    """
    folder = context.folder / "jobs" / OUTCOMES
    result = read_result(folder)
    adapter, actions, _ = serving(context, folder.parent)
    wanted = {"adapter": digest_file(adapter / RECORD), "manifest": digest_file(context.manifest)}
    other = [name for name, digest in wanted.items() if result["digests"][name] != digest]
    if other or result["actions"] != list(actions):
        raise EvidenceError(
            f"the outcomes are of another {' and '.join(other) or 'set of actions'}",
            where=folder / RESULT,
            hint="delete the folder and run `safe run-job 12_rl_gate outcomes --config ...`",
        )
    return adapter, result, read_rows(folder, ITEMS)
