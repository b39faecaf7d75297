"""12 RL gate: can a gate learn when to listen, and to how much of it?

A contextual bandit (`safe.training.bandit`) is trained on outcomes that were tabulated on the
validation split (`rl_gate_parts`), for each price of a second. What it has learned is distilled
into a linear policy. One price is chosen on rows of validation that the bandit did not learn from;
that policy is written to a file, read back, and put to work on the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safe.config import RunConfig
from safe.digest import digest_file
from safe.evaluation.action_curve import ActionPoint, action_point, undominated
from safe.evaluation.gate_curve import policies
from safe.experiments import rl_gate_plots
from safe.experiments.context import Context
from safe.experiments.evidence import Metrics, write_table
from safe.experiments.rl_gate_bench import ActionBench, way
from safe.experiments.rl_gate_parts import SPLITS, read_outcomes
from safe.gates.schema import Interval, Metric
from safe.gates.statistics import paired_difference, wilson
from safe.models.checkpoint import RECORD
from safe.models.gate_file import items_digest
from safe.models.gating import POLICIES
from safe.models.policy import LearnedGate, PolicyRecord, feature_names, load_policy, save_policy
from safe.training.bandit import (
    BanditSettings,
    Evaluation,
    Outcomes,
    PolicyNet,
    distil,
    hold_back,
    train_bandit,
)
from safe.training.offered import HEARING, met_in
from safe.training.opened import open_base, use_threads

METRICS: dict[str, dict[str, Any]] = {
    "skips": {"unit": "fraction", "low": 0, "high": 1},
    "audio_drop": {"unit": "fraction", "low": -1, "high": 1},
    "vl_constraint": {"unit": "count", "low": 0, "high": None},
    "pareto": {"unit": "count", "low": 0, "high": None},
}
METERS = Metrics(METRICS)
FLOOR = 0.005  # the plan's: VL accuracy that may be lost against the base
POLICY = "policy.safetensors"
SELECTION, EVALUATIONS, CURVE = "selection.parquet", "evaluations.parquet", "curve.parquet"
GATED = "gated.parquet"
LEARNED_ON, REPORTED_ON = SPLITS
HELD, CHECKED = 0.4, 0.5  # shares: held back of all, and of those, checked and not held by

Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Trained:
    """What came out at one price.

    Attributes:
        evaluations: of the bandit while it learned, and of the linear policy at the end.
        drop: interval of the audio accuracy that it costs against hearing everything, on rows that
            it did not learn from; None where these cannot tell.
    """

    price: float
    student: PolicyNet
    evaluations: Sequence[Evaluation]
    drop: Interval | None
    skip_rate: float


def measure(context: Context) -> list[Metric]:
    """Train at every price, choose one, and put it to work on test."""
    config = context.config
    use_threads(config)
    (context.folder / POLICY).unlink(missing_ok=True)  # of an earlier measurement
    adapter, result, table = read_outcomes(context)
    context.digests |= result["digests"]
    actions: list[int] = result["actions"]
    learned_on = [row for row in table if row["split"] == LEARNED_ON]
    reported = [row for row in table if row["split"] == REPORTED_ON]
    seen = met_in(context.manifest, REPORTED_ON, learned_on)
    if seen:
        why = f"{len(seen)} of the questions that it learned from are test's, such as {seen[0]}"
        return [METERS.missing(name, why, len(learned_on)) for name in METRICS]
    seconds = {k: result["seconds"][way(k, learned=True)] for k in actions}
    parts = _part(outcomes_of(learned_on, actions, seconds), config.seed)
    trained = [_train(config, parts, price) for price in config.policy.prices]
    evaluations = [
        {"price": t.price, **asdict(look), "broken": look.vl_drop > FLOOR}
        for t in trained
        for look in t.evaluations
    ]
    write_table(context, EVALUATIONS, evaluations)
    on_test = outcomes_of(reported, actions, seconds)
    learned = [_point(on_test, t) for t in trained]
    heuristic = _heuristics(config, learned_on, reported, actions, result["seconds"])
    beyond = undominated(learned, heuristic)
    points = [*learned, *heuristic]
    write_table(context, CURVE, [{**asdict(p), "undominated": p in beyond} for p in points])
    chosen = _choose(config, trained)
    rl_gate_plots.frontier(context, learned, heuristic, chosen.price if chosen else None)
    rest = [_constraint(evaluations), _pareto(learned, beyond, result)]
    if chosen is None:
        why = (
            "no price's policy is shown to cost less audio accuracy on validation than "
            f"policy.max_audio_drop = {config.policy.max_audio_drop}"
        )
        return [*(METERS.missing(name, why) for name in ("skips", "audio_drop")), *rest]
    opened = open_base(config)
    gate = _save(context, chosen, actions, learned_on, opened.vlm_ref.digest, adapter)
    bench = ActionBench(config, context.manifest, adapter, opened)
    gated = bench.answer_gated(bench.offered(REPORTED_ON).rows, gate, glances=True)
    return [*_at_work(context, gated, reported, actions, chosen), *rest]


# -- learning -------------------------------------------------------------------------------------


def outcomes_of(table: Table, actions: Sequence[int], seconds: Mapping[int, float]) -> Outcomes:
    """The table's rows as the bandit takes them."""
    return Outcomes(
        features=np.array([row["state"] for row in table], dtype=np.float64),
        scores=np.array([[float(row[f"right_{k}"]) for k in actions] for row in table]),
        seconds=np.tile([seconds[k] for k in actions], (len(table), 1)),
        seeing=np.array([row["task"] not in HEARING for row in table]),
        groups=tuple(row["image_source"] or row["source"] for row in table),
    )


@dataclass(frozen=True)
class Parts:
    """Validation: rows to learn from, and the rest, which hold the floor or are looked at."""

    learned: Outcomes
    rest: Outcomes
    held: Outcomes
    checked: Outcomes


def _part(everything: Outcomes, seed: int) -> Parts:
    apart = hold_back(everything.groups, HELD, seed)
    rest = everything.take(apart)
    check = hold_back(rest.groups, CHECKED, seed + 1)
    return Parts(everything.take(~apart), rest, rest.take(~check), rest.take(check))


def _train(config: RunConfig, parts: Parts, price: float) -> Trained:
    rest, checked = parts.rest, parts.checked
    settings = BanditSettings(
        price=price, decisions=config.policy.decisions, floor=FLOOR, seed=config.seed
    )
    teacher, looks = train_bandit(parts.learned, parts.held, checked, settings)
    student = distil(teacher, parts.learned.features)
    taken = student.actions(rest.features)
    own = student.actions(checked.features)
    reward = checked.scores - price * checked.seconds
    final = Evaluation(
        decisions=settings.decisions,
        reward=float(reward[np.arange(len(own)), own].mean()),
        vl_drop=checked.vl_drop(own),
        skip_rate=float((own == 0).mean()),
        multiplier=looks[-1].multiplier,
        kept=True,
    )
    return Trained(
        price, student, [*looks, final], _drop(rest, taken, config.seed), float((taken == 0).mean())
    )


def _drop(outcomes: Outcomes, taken: np.ndarray, seed: int) -> Interval | None:
    hears = ~outcomes.seeing
    rows = np.flatnonzero(hears)
    try:
        return paired_difference(
            outcomes.scores[rows, -1],
            outcomes.scores[rows, taken[rows]],
            seed=seed,
            clusters=[outcomes.groups[i] for i in rows],
            identical_outputs=bool((taken[rows] == outcomes.scores.shape[1] - 1).all()),
        )
    except ValueError:
        return None  # it cannot be shown to cost little


def _choose(config: RunConfig, trained: Sequence[Trained]) -> Trained | None:
    """The policy that skips most of those that are shown to cost little and to hold the floor."""
    allowed = [
        t
        for t in trained
        if t.drop is not None
        and t.drop.high <= config.policy.max_audio_drop
        and t.evaluations[-1].vl_drop <= FLOOR
    ]
    return max(allowed, key=lambda t: (t.skip_rate, t.price), default=None)


def _save(
    context: Context,
    chosen: Trained,
    actions: Sequence[int],
    table: Table,
    base: str,
    adapter: Path,
) -> LearnedGate:
    """Write the policy and what it was trained on; returns it as it is read back."""
    columns = ("id", "split", "source", "image_source", "heard_source")
    write_table(context, SELECTION, [{name: row[name] for name in columns} for row in table])
    width = (len(table[0]["state"]) - len(feature_names(0))) // 2
    record = PolicyRecord(
        actions=tuple(actions),
        features=tuple(feature_names(width)),
        price=chosen.price,
        base=base,
        adapter=digest_file(adapter / RECORD),
        trained_on=items_digest(context.config.run, [row["id"] for row in table]),
    )
    linear = chosen.student.net[0]
    assert isinstance(linear, torch.nn.Linear)
    gate = LearnedGate(
        record,
        chosen.student.mean,
        chosen.student.scale,
        linear.weight.detach(),
        linear.bias.detach(),
    )
    path = save_policy(context.folder / POLICY, gate)
    context.evidence.append(POLICY)
    return load_policy(path, base=base, adapter=record.adapter)


# -- on test --------------------------------------------------------------------------------------


def _point(outcomes: Outcomes, trained: Trained) -> ActionPoint:
    return action_point(
        "learned",
        trained.price,
        trained.student.actions(outcomes.features),
        outcomes.scores,
        outcomes.seconds[0],  # the same for every question
        ~outcomes.seeing,
    )


def _heuristics(
    config: RunConfig,
    validation: Table,
    test: Table,
    actions: Sequence[int],
    seconds: Mapping[str, float],
) -> list[ActionPoint]:
    """The gates of 05 on the same questions, at thresholds from validation; and none."""
    ends = (0, actions[-1])
    scores = np.array([[float(row[f"right_{k}"]) for k in ends] for row in test])
    hears = np.array([row["task"] in HEARING for row in test])
    costs = np.array([seconds[way(k, learned=False)] for k in ends])
    found = []
    known, here = (
        {kind: np.array([row[kind] for row in table]) for kind in POLICIES}
        for table in (validation, test)
    )
    for gate in policies(known, config.gating.points):
        taken = gate.consults(here[gate.kind]).astype(int)
        found.append(action_point(gate.kind, gate.threshold, taken, scores, costs, hears))
    plain = np.array([seconds["always off"], seconds["always on"]])
    for kind, action in (("always_off", 0), ("always_on", 1)):
        taken = np.full(len(test), action)
        found.append(action_point(kind, None, taken, scores, plain, hears))
    return found


def _at_work(
    context: Context, gated: Table, tabulated: Table, actions: Sequence[int], chosen: Trained
) -> list[Metric]:
    """The policy from its file, on mixed batches of test, beside hearing everything."""
    on = {row["id"]: row for row in tabulated}
    table = [
        {
            **row,
            "source": on[row["id"]]["source"],
            "on_correct": on[row["id"]][f"right_{actions[-1]}"],
        }
        for row in gated
    ]
    write_table(context, GATED, table)
    skipped = sum(not row["consulted"] for row in table)
    hearing = [row for row in table if row["task"] in HEARING]
    seeing = [row for row in table if row["task"] not in HEARING]
    heard = {str(k): sum(r["tokens_heard"] == k for r in table) / len(table) for k in actions}
    changed = [row["id"] for row in table if row["as_the_base"] is False]
    return [
        METERS.measured(
            "skips",
            skipped / len(table),
            len(table),
            ci=wilson(skipped, len(table)),
            per_item=GATED,
            detail={
                "price": chosen.price,
                "share_by_audio_tokens": heard,
                "vl_drop": sum(on[r["id"]]["right_0"] - r["gated_correct"] for r in seeing)
                / max(1, len(seeing)),
                "skipped_but_not_as_the_base": changed[:20],
            },
        ),
        METERS.difference(
            "audio_drop",
            [row["on_correct"] for row in hearing],
            [row["gated_correct"] for row in hearing],
            [row["source"] for row in hearing],
            seed=context.config.seed,
            identical=all(row["tokens_heard"] == actions[-1] for row in hearing),
            per_item=GATED,
            detail={"skipped": sum(not row["consulted"] for row in hearing)},
        ),
    ]


def _constraint(evaluations: Table) -> Metric:
    broken = [row for row in evaluations if row["broken"]]
    return METERS.measured(
        "vl_constraint",
        len(broken),
        len(evaluations),
        per_item=EVALUATIONS,
        detail={
            "floor": FLOOR,
            "largest_drop": max(row["vl_drop"] for row in evaluations),
            "by_price": {
                str(price): max(r["vl_drop"] for r in evaluations if r["price"] == price)
                for price in sorted({row["price"] for row in evaluations})
            },
            "undone": sum(not row["kept"] for row in evaluations),
        },
    )


def _pareto(
    learned: Sequence[ActionPoint], beyond: Sequence[ActionPoint], result: Mapping[str, Any]
) -> Metric:
    return METERS.measured(
        "pareto",
        len(beyond),
        len(learned),
        per_item=CURVE,
        detail={
            "of": "price, mean milliseconds and accuracy over all questions on offer in test",
            "undominated": [[p.setting, 1000 * p.seconds, p.accuracy] for p in beyond],
            "milliseconds": {name: 1000 * value for name, value in result["seconds"].items()},
            "serving": result["serving"],
        },
    )
