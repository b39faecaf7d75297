"""07: effect of irrelevant sounds on gate and answers, and of sound quality on the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from safe.gates.schema import Metric
from safe.gates.statistics import wilson
from safe.hearing.context import Context
from safe.hearing.evaluation.sound_quality import Condition, noise_alone, sweep
from safe.hearing.experiments.evaluation_harness import plots
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.experiments.evaluation_harness.evaluator import (
    GeneratedAnswer,
    HarnessEvaluator,
    Table,
)
from safe.hearing.experiments.metric_builder import MetricBuilder, worst, write_table
from safe.hearing.models.gating import UncertaintyGate
from safe.hearing.training.collate import Example

NOISE, SWEEP = "noise.parquet", "sweep.parquet"


def irrelevance(
    builder: MetricBuilder,
    context: Context,
    evaluator: HarnessEvaluator,
    gate: UncertaintyGate,
    others: Sequence[UncertaintyGate],
    vl_examples: Sequence[Example],
    base: Sequence[GeneratedAnswer],
    given: Mapping[str, Sequence[GeneratedAnswer]],
) -> list[Metric]:
    """Measure the effect of irrelevant sounds on picture questions.

    Args:
        given: answers with another example's `sound` and with `near_silence`.
    """
    seed, noise = context.config.seed, Condition("", "", None, noise_alone)
    distractors = {
        "another example's sound": given["sound"],
        "noise of equal loudness": evaluator.answer(
            vl_examples, gate, evaluator.through(noise), said="noise of equal loudness"
        ),
        "near-silence": given["near_silence"],
    }
    table: Table = []
    for name, answers in distractors.items():
        table += [
            {
                "id": row.sample.id,
                "source": row.sample.source,
                "split": row.sample.split,
                "distractor": name,
                "consulted": answer.consulted,
                **{f"{g.kind}_consults": bool(g.consults(answer.scores[g.kind])) for g in others},
                "base": plain.text,
                "safe": answer.text,
                "identical": answer.tokens == plain.tokens,
                "base_score": evaluator.score(row.sample, plain.text),
                "safe_score": evaluator.score(row.sample, answer.text),
            }
            for row, answer, plain in zip(vl_examples, answers, base, strict=True)
        ]
    write_table(context, NOISE, table)
    by_name = {name: [r for r in table if r["distractor"] == name] for name in distractors}
    return [
        _false_consultation(builder, by_name, gate, others),
        worst(
            {
                name: builder.table_difference(
                    "vl_under_noise",
                    rows,
                    ("base_score", "safe_score"),
                    where={"distractor": [name]},
                    per_item=NOISE,
                    seed=seed,
                    identical=all(r["identical"] for r in rows),
                )
                for name, rows in by_name.items()
            }
        ),
    ]


def _false_consultation(
    builder: MetricBuilder,
    by_name: Mapping[str, Table],
    gate: UncertaintyGate,
    others: Sequence[UncertaintyGate],
) -> Metric:
    """Highest consultation rate over policies and distractors.

    For the selected gate, actual consultations are counted; for the others, they follow from the
    scores. Uses only the test split because thresholds were chosen on validation.
    """
    by_name = {name: [r for r in rows if r["split"] == "test"] for name, rows in by_name.items()}
    counts = {
        (policy.kind, name): sum(
            r["consulted" if policy == gate else f"{policy.kind}_consults"] for r in rows
        )
        for policy in others
        for name, rows in by_name.items()
    }
    (kind, name), count = max(counts.items(), key=lambda item: item[1])
    n = len(by_name[name])
    return builder.measured(
        "false_consultation",
        count / n,
        n,
        ci=wilson(count, n),
        per_item=NOISE,
        detail={
            "policy": kind,
            "distractor": name,
            "selected": gate.kind,
            "rates": {f"{k}, {d}": c / n for (k, d), c in counts.items()},
        },
    )


def gate_robust(
    builder: MetricBuilder,
    context: Context,
    evaluator: HarnessEvaluator,
    gate: UncertaintyGate,
    others: Sequence[UncertaintyGate],
    audio_examples: Sequence[Example],
    vl_examples: Sequence[Example],
) -> Metric:
    config = EvaluationSettings.of(context.config)
    half = config.sweep_items // 2
    rows = [*audio_examples[:half], *vl_examples[: config.sweep_items - half]]
    table: Table = []
    conditions = sweep(
        evaluator.rate,
        snr_db=config.snr_db,
        clipping=config.clipping,
        sampling_rates=config.sampling_rates,
    )
    for condition in conditions:
        given = evaluator.answer(rows, gate, evaluator.through(condition), said=condition.name)
        table += [
            {
                "id": row.sample.id,
                "needs_sound": i < half,
                "condition": condition.name,
                "kind": condition.kind,
                "level": condition.level,
                "consulted": answer.consulted,
                **{f"{g.kind}_consults": bool(g.consults(answer.scores[g.kind])) for g in others},
                "score": evaluator.score(row.sample, answer.text),
            }
            for i, (row, answer) in enumerate(zip(rows, given, strict=True))
        ]
    write_table(context, SWEEP, table)
    by_condition = {c.name: [r for r in table if r["condition"] == c.name] for c in conditions}
    plots.quality(context, conditions, by_condition)
    columns = {"selected": "consulted"} | {g.kind: f"{g.kind}_consults" for g in others}
    rates = {
        policy: {name: fmean([r[column] for r in part]) for name, part in by_condition.items()}
        for policy, column in columns.items()
    }
    spreads = {policy: max(r.values()) - min(r.values()) for policy, r in rates.items()}
    return builder.measured(
        "gate_robust",
        max(spreads.values()),
        len(rows),
        per_item=SWEEP,
        detail={
            "conditions": len(conditions),
            "spread": spreads,
            "consulted": rates["selected"],
            "audio_accuracy": {
                name: fmean([r["score"] for r in part if r["needs_sound"]])
                for name, part in by_condition.items()
            },
            "why": "a heuristic gate decides before any sound is processed",
        },
    )
