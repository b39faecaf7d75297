"""05 Gating: can the base's uncertainty decide when to use the audio?

Thresholds are chosen on the validation split only and reported on test. A gate decides for each
example separately, so a table of both answers gives the outcome of every policy. The chosen gate is
then run on test and must agree with the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from safe.digest import digest_file
from safe.errors import EvidenceError
from safe.gates.schema import Candidate, Derivation, Metric
from safe.hearing.artifacts import PILOT_ADAPTER, PILOT_BASE_ANSWERS
from safe.hearing.context import Context
from safe.hearing.evaluation.gate_curve import (
    Choice,
    Outcomes,
    Point,
    choose,
    choose_threshold,
    curve,
    frontier,
    policies,
)
from safe.hearing.experiments.gating import METRICS, plots
from safe.hearing.experiments.gating.config import GatingSettings
from safe.hearing.experiments.gating.cost import skipped_work, time_saved
from safe.hearing.experiments.gating.evaluator import GatingEvaluator, outcomes_of
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.models.checkpoint import RECORD
from safe.hearing.models.gate_file import ChosenOn, items_digest, read_gate, save_gate
from safe.hearing.models.gating import POLICIES, UncertaintyGate
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.gating_eval_set import HEARING, found_in

BUILDER = MetricBuilder(METRICS)
ADAPTER = Path(PILOT_ADAPTER)
GATE, SELECTION, CHOICES = "gate.json", "selection.parquet", "choices.parquet"
ITEMS, GATED, CURVE = "items.parquet", "gated.parquet", "curve.parquet"
CHOSEN_ON, REPORTED_ON = "val", "test"

Table = Sequence[Mapping[str, Any]]


def measure(context: Context) -> list[Metric]:
    """Tabulate both answers, choose a gate on validation, and run it on test."""
    config = context.config
    use_threads(config)
    (context.folder / GATE).unlink(missing_ok=True)  # left by an earlier measurement
    opened = open_base(config)
    adapter = config.folder / ADAPTER
    evaluator = GatingEvaluator(config, context.manifest, adapter, opened)
    context.digests |= opened.digests | {
        "manifest": digest_file(context.manifest),
        "adapter": digest_file(adapter / RECORD),
    }
    context.extra |= {"device": str(evaluator.model.device)}

    eval_set = {split: evaluator.eval_set(split) for split in (CHOSEN_ON, REPORTED_ON)}
    tables = {split: evaluator.tabulate(found.rows) for split, found in eval_set.items()}
    write_table(context, ITEMS, [row for table in tables.values() for row in table])
    val, test = outcomes_of(tables[CHOSEN_ON]), outcomes_of(tables[REPORTED_ON])
    gates = policies(val.scores, GatingSettings.of(config).points)
    choices = _choose(context, val, gates)
    listed = [{"kind": c.gate.kind, "threshold": c.gate.threshold} for c in choices.values()]
    write_table(context, CHOICES, listed)
    points = curve(test, dict.fromkeys([*gates, *(c.gate for c in choices.values())]))
    best = frontier(points)
    write_table(context, CURVE, [{**asdict(p), "on_frontier": p in best} for p in points])
    offer = [_candidate(name, choice) for name, choice in choices.items()]
    context.offer("gates", offer, per_item=CHOICES)
    selection = context.select("gate", offer)
    selected = selection.selected
    plots.tradeoff(context, points, choices[selected].gate if selected else None)
    left_out = {s: {"shared": o.shared, "unusable": o.unusable} for s, o in eval_set.items()}
    known = [
        _tradeoff(best, points, {s: len(t) for s, t in tables.items()}, left_out),
        BUILDER.base_differs(
            config.folder / PILOT_BASE_ANSWERS,
            [(row["id"], row["off_tokens"]) for table in tables.values() for row in table],
        ),
    ]
    if selected is None:
        why = f"no gate is selected on validation: {selection.reason}"
        names = {metric.name for metric in known}
        return [*known, *(BUILDER.missing(name, why) for name in METRICS if name not in names)]

    chosen = choices[selected].gate
    _save(context, choices[selected], tables, opened.vlm_ref.digest)
    rows = eval_set[REPORTED_ON].rows
    gated = evaluator.answer_gated(rows, chosen)
    consults = chosen.consults(test.scores[chosen.kind])
    table = _held_against(gated, tables[REPORTED_ON], consults)
    write_table(context, GATED, table)
    rng = np.random.default_rng([config.seed, 9])
    timed = [rows[i] for i in rng.permutation(len(rows))[: GatingSettings.of(config).timed_items]]
    cost = evaluator.cost(timed, chosen, repeats=GatingSettings.of(config).timing_repeats)
    if evaluator.model.device.type == "cuda":
        context.device_seconds += sum(float(s.sum()) for s in cost.seconds.values())
    of_the_gate = [
        _skip_rate(table, choices),
        _audio_drop(table, config.seed),
        _vl_unchanged(table),
        _chosen_on_validation(context),
        _choice_differs(context),
        _as_tabulated(table),
        skipped_work(BUILDER, cost),
        time_saved(context, BUILDER, cost),
    ]
    measured_on = {"gate": selected}
    return [*known, *(m.model_copy(update={"measured_on": measured_on}) for m in of_the_gate)]


def _choose(context: Context, val: Outcomes, gates: Sequence[UncertaintyGate]) -> dict[str, Choice]:
    """Name -> a threshold of each policy that has one within the limit of the criteria."""
    limit = context.limit("gate", "audio_drop_high")
    found = choose(val, gates, max_drop=limit, seed=context.config.seed)
    return {f"{c.gate.kind}@{c.gate.threshold:.6g}": c for c in found}


def _candidate(name: str, choice: Choice) -> Candidate:
    values = {
        "audio_drop_high": choice.drop.high,
        "skip_rate": choice.point.skip_rate,
        "vl_consulted": choice.point.vl_consulted,
    }
    return Candidate(name=name, values=values)


# -- the gate file --------------------------------------------------------------------------------


def _save(context: Context, choice: Choice, tables: Mapping[str, Table], base: str) -> None:
    """Save the gate and the questions that its threshold was chosen on."""
    known = {row["id"]: row for table in tables.values() for row in table}
    columns = ("id", "split", "source", "image_source", "heard_source")
    listed = [{name: known[i][name] for name in columns} for i in choice.outcomes.ids]
    write_table(context, SELECTION, listed)
    run = context.config.run
    chosen_on = ChosenOn(
        run=run,
        split=CHOSEN_ON,  # type: ignore[arg-type]
        items=len(listed),
        digest=items_digest(run, choice.outcomes.ids),
        table=SELECTION,
        base=base,
    )
    save_gate(context.folder / GATE, choice.gate, chosen_on)
    context.evidence.append(GATE)


def _chosen_on_validation(context: Context) -> Metric:
    """Count questions behind the threshold that share an id, recording or picture with test."""
    path = context.folder / GATE
    said = read_gate(path).chosen_on
    listed = pq.read_table(path.parent / said.table).to_pylist()
    if items_digest(said.run, [row["id"] for row in listed]) != said.digest:
        raise EvidenceError(
            "the listed questions differ from those that the gate was chosen on",
            where=path.parent / said.table,
            hint="measure experiment 05 again",
        )
    seen = found_in(context.manifest, REPORTED_ON, listed)
    return BUILDER.measured(
        "chosen_on_validation",
        len(seen),
        len(listed),
        per_item=SELECTION,
        detail={"seen": seen[:20], "digest": said.digest},
    )


def _choice_differs(context: Context) -> Metric:
    """Choose again from the tabulated validation rows; count thresholds that differ.

    The rows are those that the gate lists, so a threshold from other rows is found.
    """
    folder, config = context.folder, context.config
    gate = read_gate(folder / GATE)
    listed = set(pq.read_table(folder / gate.chosen_on.table, columns=["id"])["id"].to_pylist())
    rows = pq.read_table(folder / ITEMS).to_pylist()
    chosen_on = outcomes_of([r for r in rows if r["split"] == CHOSEN_ON and r["id"] in listed])
    used = {row["kind"]: row["threshold"] for row in pq.read_table(folder / CHOICES).to_pylist()}
    again: dict[str, float] = {}
    for kind in POLICIES:
        gates = policies(chosen_on.scores, GatingSettings.of(config).points)
        choice = choose_threshold(
            chosen_on,
            [g for g in gates if g.kind == kind],
            max_drop=context.limit("gate", "audio_drop_high"),
            seed=config.seed,
        )
        if choice is not None:
            again[kind] = choice.gate.threshold
    differ = {kind for kind in POLICIES if used.get(kind) != again.get(kind)}
    if again.get(gate.kind) != gate.threshold:
        differ.add(gate.kind)
    return BUILDER.measured(
        "choice_differs",
        len(differ),
        len(chosen_on),
        per_item=ITEMS,
        detail={"used": used, "chosen_again": again, "saved": [gate.kind, gate.threshold]},
    )


# -- the chosen gate at work ----------------------------------------------------------------------


def _held_against(gated: Table, tabulated: Table, consults: Sequence[bool]) -> list[dict[str, Any]]:
    """Compare the gate's decisions and answers with the table's, one row per question."""
    return [
        {
            **did,
            "source": row["source"],
            "on_correct": row["on_correct"],
            "as_always_on": did["gated_tokens"] == row["on_tokens"],
            "to_consult": bool(consult),
            "as_tabulated": did["consulted"] == bool(consult)
            and did["gated_tokens"] == row["on_tokens" if consult else "off_tokens"],
        }
        for did, row, consult in zip(gated, tabulated, consults, strict=True)
    ]


def _share(rows: Table, column: str) -> float | None:
    return sum(row[column] for row in rows) / len(rows) if rows else None


def _skip_rate(table: Table, choices: Mapping[str, Choice]) -> Metric:
    tasks = sorted({row["task"] for row in table})
    return BUILDER.table_share(
        "skip_rate",
        table,
        "consulted",
        negated=True,
        per_item=GATED,
        detail={
            "consulted_by_task": {
                t: _share([r for r in table if r["task"] == t], "consulted") for t in tasks
            },
            "on_validation": {
                c.gate.kind: {
                    "threshold": c.gate.threshold,
                    "skip_rate": c.point.skip_rate,
                    "vl_consulted": c.point.vl_consulted,
                    "audio_drop": [c.drop.low, c.drop.high],
                }
                for c in choices.values()
            },
        },
    )


def _audio_drop(table: Table, seed: int) -> Metric:
    rows = [row for row in table if row["task"] in HEARING]
    return BUILDER.table_difference(
        "audio_drop",
        table,
        ("on_correct", "gated_correct"),
        where={"task": HEARING},
        per_item=GATED,
        seed=seed,
        identical=all(r["as_always_on"] for r in rows),
        detail={
            "skipped": sum(not r["consulted"] for r in rows),
            "answers_that_differ": sum(not r["as_always_on"] for r in rows),
        },
    )


def _vl_unchanged(table: Table) -> Metric:
    skipped = [row for row in table if not row["consulted"]]
    changed = [row["id"] for row in skipped if not row["as_the_base"]]
    return BUILDER.table_count(
        "vl_unchanged",
        table,
        "as_the_base",
        where={"consulted": [False]},
        negated=True,
        per_item=GATED,
        detail={
            "compared": "generated tokens, with a separately loaded base",
            "changed": changed[:20],
            "vl_rows": sum(row["task"] == "vl" for row in skipped),
        },
    )


def _as_tabulated(table: Table) -> Metric:
    other = [row for row in table if not row["as_tabulated"]]
    return BUILDER.measured(
        "as_tabulated",
        len(other) / len(table),
        len(table),
        per_item=GATED,
        derivation=Derivation(statistic="mean", columns=["as_tabulated"], negated=True),
        detail={
            "rows": len(other),
            "of_them_consulted_otherwise": sum(r["consulted"] != r["to_consult"] for r in other),
            "ids": [row["id"] for row in other[:20]],
        },
    )


def _tradeoff(
    best: Sequence[Point],
    points: Sequence[Point],
    items: Mapping[str, int],
    left_out: Mapping[str, Mapping[str, int]],
) -> Metric:
    return BUILDER.measured(
        "tradeoff",
        len(best),
        len(points),
        per_item=CURVE,
        detail={
            "frontier": [[p.kind, p.threshold, p.skip_rate, p.accuracy] for p in best],
            "of": "policy, threshold, skip rate, accuracy over all questions",
            "thresholds_from": CHOSEN_ON,
            "items": dict(items),
            "left_out": dict(left_out),
        },
    )
