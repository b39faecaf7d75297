"""07: are the metrics correct, equal to reference values, and repeatable?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from safe.files import write_json
from safe.gates.schema import Metric
from safe.hearing.context import Context
from safe.hearing.evaluation import aggregate, self_check
from safe.hearing.evaluation.references import Reference, applicable, compare
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.experiments.evaluation_harness.evaluator import (
    GeneratedAnswer,
    HarnessEvaluator,
    Table,
)
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.models.gating import UncertaintyGate
from safe.hearing.training.batching import EVALUATE
from safe.hearing.training.collate import Example

BASELINE, CHECKS, REPEATED = "baseline.parquet", "checks.parquet", "repeated.parquet"
OTHER_BATCH = 17  # unusual size, so that the batches differ


def metrics_correct(builder: MetricBuilder, context: Context) -> Metric:
    checks = self_check.run(
        caption_reference=EvaluationSettings.of(context.config).caption_reference
    )
    done = [c for c in checks if c.found is not None]
    write_table(context, CHECKS, [c.as_dict() for c in checks])
    worst = max(done, key=lambda c: c.deviation)
    return builder.measured(
        "metrics_correct",
        worst.deviation,
        len(done),
        per_item=CHECKS,
        detail={
            "worst": worst.name,
            "unavailable": {c.name: c.reason for c in checks if c.found is None},
        },
    )


def baseline_matches(
    builder: MetricBuilder,
    context: Context,
    evaluator: HarnessEvaluator,
    references: Sequence[Reference],
    rows: Sequence[Example],
    given: Sequence[GeneratedAnswer],
) -> Metric:
    config = context.config
    table: Table = [
        {
            "id": row.sample.id,
            "dataset": row.sample.dataset,
            "split": row.sample.split,
            "task": row.sample.task,
            "question_type": row.sample.question_type,
            "answer": answer.text,
            "score": evaluator.score(row.sample, answer.text),
        }
        for row, answer in zip(rows, given, strict=True)
    ]
    write_table(context, BASELINE, table)
    for key in sorted({(row["dataset"], row["split"]) for row in table}):
        found = [row for row in table if (row["dataset"], row["split"]) == key]
        _write_results(context, evaluator.layouts[key[0]], found)
    figures = aggregate.accuracies(table)
    models = [config.base.miniature, config.base.vlm]
    wanted = applicable(references, models)
    compared, missing = compare(wanted, figures)
    if missing or not compared:
        why = (
            f"not measured: {', '.join(r.id for r in missing)}"
            if missing
            else f"{EvaluationSettings.of(config).references} has no figure of this base"
        )
        return builder.missing("baseline_matches", why)
    worst = max(compared, key=lambda c: c.ratio)
    return builder.measured(
        "baseline_matches",
        worst.ratio,
        len(compared),
        items=min(c.n for c in compared),
        per_item=BASELINE,
        detail={
            "worst": worst.reference.id,
            "compared": [
                {
                    **c.reference.model_dump(include={"id", "value", "tolerance", "source"}),
                    "measured": c.measured,
                    "n": c.n,
                }
                for c in compared
            ],
        },
    )


def _write_results(context: Context, layout: str, table: Table) -> None:
    """Write the base's answers in the layout's official results format, for `safe score`."""
    native = [row["id"].rsplit("/", 1)[1] for row in table]
    texts = [row["answer"] for row in table]
    if layout == "gqa":
        results = [{"questionId": n, "prediction": t} for n, t in zip(native, texts, strict=True)]
    else:
        results = [
            {"question_id": int(n) if n.isdecimal() else n, "answer": t}
            for n, t in zip(native, texts, strict=True)
        ]
    path = f"results_{table[0]['dataset']}_{table[0]['split']}.json"
    write_json(context.folder / path, results)
    context.evidence.append(path)


def metrics_stable(
    builder: MetricBuilder,
    context: Context,
    evaluator: HarnessEvaluator,
    gate: UncertaintyGate,
    audio_examples: Sequence[Example],
    vl_examples: Sequence[Example],
) -> Metric:
    half = EvaluationSettings.of(context.config).repeated_items // 2
    rows = [*audio_examples[:half], *vl_examples[:half]]
    order = np.random.default_rng([context.config.seed, 11]).permutation(len(rows)).tolist()
    shuffled = [rows[i] for i in order]
    modes = {
        "first": (rows, EVALUATE),
        "repeated": (rows, EVALUATE),
        "another order": (shuffled, EVALUATE),
        "other batches": (rows, OTHER_BATCH),
    }
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for mode, (asked, batch) in modes.items():
        answers = evaluator.answer(asked, gate, batch=batch, said=mode)
        scores = evaluator.log_probabilities(asked, True, batch=batch)
        found[mode] = {
            row.sample.id: {
                "tokens": list(answer.tokens),
                "score": evaluator.score(row.sample, answer.text),
                "log_probability": nats,
            }
            for row, answer, nats in zip(asked, answers, scores, strict=True)
        }
    first = found["first"]
    write_table(
        context,
        REPEATED,
        [
            {"way": mode, "id": i, **row}
            for mode, table in found.items()
            for i, row in table.items()
        ],
    )
    ids = [row.sample.id for row in rows]
    answers_that_differ = {
        mode: sum(table[i]["tokens"] != first[i]["tokens"] for i in ids)
        for mode, table in found.items()
    }
    bits = [i for i in ids if found["repeated"][i] != first[i]]
    by_rows = {mode: _metrics_of(rows, table) for mode, table in found.items()}
    differing = [
        f"{name}, {mode}"
        for mode, metrics in by_rows.items()
        for name, value in metrics.items()
        if value != by_rows["first"][name]
    ]
    return builder.measured(
        "metrics_stable",
        len(differing) + sum(answers_that_differ.values()) + len(bits),
        len(modes) * len(by_rows["first"]),
        per_item=REPEATED,
        detail={
            "items": len(ids),
            "metrics_that_differ": differing,
            "answers_that_differ": answers_that_differ,
            "repeated_in_other_bits": bits[:20],
            "largest_difference_in_nats": {
                mode: max(
                    abs(table[i]["log_probability"] - first[i]["log_probability"]) for i in ids
                )
                for mode, table in found.items()
            },
        },
    )


def _metrics_of(
    rows: Sequence[Example], table: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Mean score by dataset, task and question type, summed in a fixed order."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        for group in (row.sample.dataset, row.sample.task, row.sample.question_type):
            groups.setdefault(group, []).append(table[row.sample.id]["score"])
    return {group: fmean(scores) for group, scores in groups.items()}
