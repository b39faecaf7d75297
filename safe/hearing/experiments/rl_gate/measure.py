"""12 RL gate: can a gate learn when to use the audio, and how many audio tokens?

A contextual bandit (`safe.hearing.training.bandit`) is trained on outcomes that were tabulated on
the validation split (`jobs.py`). It is first trained at the middle price for each view, that is,
each set of features available before the audio is encoded. The view with the highest reward,
including its own latency, is then trained at every other price (`learning.py`). Each bandit policy
is distilled into a linear policy, and into one that uses all audio tokens whenever it uses audio.
One of these policies is chosen on validation examples that the bandit was not trained on. It is
written to a file, read back, and evaluated on the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from safe.digest import digest_file
from safe.gates.schema import Metric
from safe.hearing.context import Context
from safe.hearing.evaluation.action_curve import ActionPoint, undominated
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.rl_gate import METRICS, plots
from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.hearing.experiments.rl_gate.curve import heuristics, point
from safe.hearing.experiments.rl_gate.evaluator import ActionEvaluator
from safe.hearing.experiments.rl_gate.jobs import SPLITS, adapters_of, read_outcomes
from safe.hearing.experiments.rl_gate.learning import (
    Table,
    Trained,
    as_candidates,
    in_full,
    outcomes_of,
    prices_per_second,
    split_outcomes,
    train,
    try_views,
    width_of,
)
from safe.hearing.models.checkpoint import RECORD
from safe.hearing.models.gate_file import items_digest
from safe.hearing.models.policy import (
    GLANCE,
    VIEWS,
    LearnedGate,
    PolicyRecord,
    feature_names,
    load_policy,
    save_policy,
)
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.gating_eval_set import HEARING, found_in

BUILDER = MetricBuilder(METRICS)
POLICY = "policy.safetensors"
SELECTION, EVALUATIONS, CURVE = "selection.parquet", "evaluations.parquet", "curve.parquet"
GATED = "gated.parquet"
LEARNED_ON, REPORTED_ON = SPLITS


def measure(context: Context) -> list[Metric]:
    """Train at every price, choose one policy, and evaluate it on test."""
    config = context.config
    use_threads(config)
    (context.folder / POLICY).unlink(missing_ok=True)  # left by an earlier measurement
    adapter, result, table = read_outcomes(context)
    context.digests |= result["digests"]
    actions: list[int] = result["actions"]
    learned_on = [row for row in table if row["split"] == LEARNED_ON]
    reported = [row for row in table if row["split"] == REPORTED_ON]
    seen = found_in(context.manifest, REPORTED_ON, learned_on)
    if seen:
        why = f"{len(seen)} training questions are also in test, such as {seen[0]}"
        return [BUILDER.missing(name, why, len(learned_on)) for name in METRICS]
    seconds = result["seconds"]
    latency_weights = prices_per_second(config, seconds)
    if latency_weights is None:
        why = "audio adds no measurable latency, and policy.latency_weights are in units of it"
        return [BUILDER.missing(name, why, len(learned_on)) for name in METRICS]
    splits = {
        view: split_outcomes(outcomes_of(learned_on, actions, seconds, view), config.seed)
        for view in VIEWS
    }
    tried = try_views(config, splits, latency_weights)
    best = max(tried, key=lambda t: t.reward)  # ties: the cheapest view
    view, at = best.teacher_policy.view, best.teacher_policy.price
    trained = [
        best if price == at else train(config, splits[view], price, view)
        for price in latency_weights
    ]
    fuller = [in_full(config, splits[view], t) for t in trained]
    evaluations = _evaluations([*tried, *(t for t in trained if t is not best)], fuller)
    write_table(context, EVALUATIONS, evaluations)
    on_test = outcomes_of(reported, actions, seconds, view)
    learned = [point("learned", on_test, t) for t in trained]
    longer = [point("learned, all tokens", on_test, t) for t in fuller]
    heuristic = heuristics(config, learned_on, reported, actions, seconds)
    beyond = undominated(learned, heuristic)
    points = [*learned, *longer, *heuristic]
    write_table(context, CURVE, [{**asdict(p), "undominated": p in beyond} for p in points])
    weights = PolicySettings.of(config).latency_weights
    policies = {f"{weight:g}": t for weight, t in zip(weights, trained, strict=True)}
    policies |= {f"{weight:g}, all tokens": t for weight, t in zip(weights, fuller, strict=True)}
    candidates = as_candidates(policies)
    context.offer("policies", candidates, per_item=EVALUATIONS)
    context.offer("adapters", adapters_of(result["serving"]))
    selection = context.select("policy", candidates)
    chosen = policies[selection.selected] if selection.selected else None
    taken = point("selected", on_test, chosen) if chosen else None
    plots.frontier(context, learned, heuristic, taken)
    adapter_used = {"adapter": result["serving"]["adapter"]}
    rest = [
        m.model_copy(update={"measured_on": adapter_used})
        for m in (_constraint(evaluations), _pareto(learned, beyond, tried, result))
    ]
    if chosen is None or selection.selected is None:
        why = f"no policy is selected on validation: {selection.reason}"
        return [*(BUILDER.missing(name, why) for name in ("skips", "audio_drop")), *rest]
    opened = open_base(config)
    gate = _save(context, chosen, actions, learned_on, opened.vlm_ref.digest, adapter)
    evaluator = ActionEvaluator(config, context.manifest, adapter, opened)
    gated = evaluator.answer_gated(
        evaluator.eval_set(REPORTED_ON).rows, gate, with_waveforms=gate.view == GLANCE
    )
    measured_on = {**adapter_used, "policy": selection.selected}
    at_work = _at_work(context, gated, reported, actions, chosen)
    return [*(m.model_copy(update={"measured_on": measured_on}) for m in at_work), *rest]


def _evaluations(
    teacher_policy: Sequence[Trained], fuller: Sequence[Trained]
) -> list[dict[str, Any]]:
    """All evaluations of policies; `fuller` shares its bandits with `teacher_policy`."""
    evaluations = [
        (t.teacher_policy, look)
        for t in teacher_policy
        for look in (*t.teacher_policy.evaluations, t.final)
    ]
    return [
        {
            "price": teacher_policy.price,
            "view": teacher_policy.view,
            **asdict(look),
        }
        for teacher_policy, look in [*evaluations, *((t.teacher_policy, t.final) for t in fuller)]
    ]


# -- the policy's file ----------------------------------------------------------------------------


def _save(
    context: Context,
    chosen: Trained,
    actions: Sequence[int],
    table: Table,
    base: str,
    adapter: Path,
) -> LearnedGate:
    """Write the policy and its training questions. Returns the policy as read back."""
    columns = ("id", "split", "source", "image_source", "heard_source")
    write_table(context, SELECTION, [{name: row[name] for name in columns} for row in table])
    names = feature_names(width_of(table), chosen.teacher_policy.view)
    record = PolicyRecord(
        actions=tuple(actions[action] for action in chosen.distilled_policy.actions),
        features=tuple(names),
        price=chosen.teacher_policy.price,
        base=base,
        adapter=digest_file(adapter / RECORD),
        trained_on=items_digest(context.config.run, [row["id"] for row in table]),
    )
    policy = chosen.distilled_policy.policy
    linear = policy.net[0]
    assert isinstance(linear, torch.nn.Linear)
    gate = LearnedGate(
        record,
        policy.mean,
        policy.scale,
        linear.weight.detach(),
        linear.bias.detach(),
    )
    path = save_policy(context.folder / POLICY, gate)
    context.evidence.append(POLICY)
    return load_policy(path, base=base, adapter=record.adapter)


# -- on test --------------------------------------------------------------------------------------


def _at_work(
    context: Context, gated: Table, tabulated: Table, actions: Sequence[int], chosen: Trained
) -> list[Metric]:
    """Compare the saved policy, run on mixed test batches, with using all audio."""
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
    audio_examples = [row for row in table if row["task"] in HEARING]
    vl_examples = [row for row in table if row["task"] not in HEARING]
    heard = {str(k): sum(r["tokens_heard"] == k for r in table) / len(table) for k in actions}
    changed = [row["id"] for row in table if row["as_the_base"] is False]
    return [
        BUILDER.table_share(
            "skips",
            table,
            "consulted",
            negated=True,
            per_item=GATED,
            detail={
                "price": chosen.teacher_policy.price,
                "view": chosen.teacher_policy.view,
                "share_by_audio_tokens": heard,
                "vl_drop": sum(on[r["id"]]["right_0"] - r["gated_correct"] for r in vl_examples)
                / max(1, len(vl_examples)),
                "skipped_but_not_as_the_base": changed[:20],
            },
        ),
        BUILDER.table_difference(
            "audio_drop",
            table,
            ("on_correct", "gated_correct"),
            where={"task": HEARING},
            per_item=GATED,
            seed=context.config.seed,
            identical=all(row["tokens_heard"] == actions[-1] for row in audio_examples),
            detail={"skipped": sum(not row["consulted"] for row in audio_examples)},
        ),
    ]


def _constraint(evaluations: Table) -> Metric:
    return BUILDER.measured(
        "vl_constraint",
        max(row["vl_drop"] for row in evaluations),
        len(evaluations),
        per_item=EVALUATIONS,
        detail={
            "of": "largest loss of VL accuracy against the base over all evaluations",
            "by_price": {
                str(price): max(r["vl_drop"] for r in evaluations if r["price"] == price)
                for price in sorted({row["price"] for row in evaluations})
            },
            "undone": sum(not row["kept"] for row in evaluations),
        },
    )


def _pareto(
    learned: Sequence[ActionPoint],
    beyond: Sequence[ActionPoint],
    tried: Sequence[Trained],
    result: Mapping[str, Any],
) -> Metric:
    return BUILDER.measured(
        "pareto",
        len(beyond),
        len(learned),
        per_item=CURVE,
        detail={
            "of": "price, mean milliseconds and accuracy over all test questions",
            "undominated": [[p.setting, 1000 * p.seconds, p.accuracy] for p in beyond],
            "milliseconds": {name: 1000 * value for name, value in result["seconds"].items()},
            "reward_by_view": {
                str(tried[0].teacher_policy.price): {t.teacher_policy.view: t.reward for t in tried}
            },
            "serving": result["serving"],
        },
    )
