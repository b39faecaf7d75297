"""10 Sweep: where is training stable, and what is the smallest sufficient combination?

Each training is a job (`jobs.py`). Among 27 combinations one can look good by chance. The bounds
on validation are therefore at the level that this number of comparisons needs (Bonferroni), and
the selected combination must satisfy the limits again on test, which the selection has not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safe.gates.schema import Candidate, Metric
from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.sweep import METRICS, plots
from safe.hearing.experiments.sweep.cells import CellResult, as_candidates, read_cell, row_of
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import (
    CHOSEN_ON,
    CONFIRMED_ON,
    cells,
    let_through,
    neighbours,
)

BUILDER = MetricBuilder(METRICS)


def measure(context: Context) -> list[Metric]:
    """Compare the cells with the criteria and with one another."""
    config = context.config
    found = {cell.name: read_cell(context, cell) for cell in cells(SweepSettings.of(config))}
    whole = {name: cell for name, cell in found.items() if cell.whole}
    best = max(whole, key=lambda name: whole[name].accuracy(CHOSEN_ON), default="")
    table = [row_of(config, cell, whole.get(best)) for cell in found.values()]
    write_table(context, "cells.parquet", table)
    candidates = as_candidates(table)
    fewest = min(
        (
            len(cell.of(kind, split))
            for cell in whole.values()
            for kind in ("audio", "vl")
            for split in (CHOSEN_ON, CONFIRMED_ON)
        ),
        default=0,
    )
    context.offer("combinations", candidates, per_item="cells.parquet", items=fewest)
    plots.grid(
        context,
        table,
        within=context.select("selected", candidates).within,
        stable=context.select("stable_curves", candidates).within,
    )
    return [
        _consistent(SweepSettings.of(config), found, len(table)),
        _halving(context, found, candidates),
    ]


# -- neighbours, and what successive halving would do ---------------------------------------------


def _consistent(own: SweepSettings, found: Mapping[str, CellResult], count: int) -> Metric:
    """Largest accuracy gap between neighbours, at the last step that both were evaluated."""
    gaps: dict[str, float] = {}
    for one, other in neighbours(own):
        a, b = found[one.name], found[other.name]
        if a.result["diverged"] or b.result["diverged"]:
            continue  # reported by `stable_curves`
        looks = [
            {look["step"]: look["audio_accuracy"] for look in s.result["looks"]} for s in (a, b)
        ]
        step = max(looks[0].keys() & looks[1].keys(), default=None)
        if a.whole and b.whole:
            gaps[f"{one.name} / {other.name}"] = abs(a.accuracy() - b.accuracy())
        elif step is not None:
            gaps[f"{one.name} / {other.name}"] = abs(looks[0][step] - looks[1][step])
    if not gaps:
        return BUILDER.missing("consistent", "no pair of neighbours was trained without diverging")
    widest = sorted(gaps, key=lambda pair: -gaps[pair])
    return BUILDER.measured(
        "consistent",
        gaps[widest[0]],
        count,
        per_item="cells.parquet",
        detail={"widest": {pair: gaps[pair] for pair in widest[:5]}, "pairs": len(gaps)},
    )


def _halving(
    context: Context, found: Mapping[str, CellResult], candidates: Sequence[Candidate]
) -> Metric:
    """Loss of successive halving versus the grid, replayed on the grid's evaluations."""
    own = SweepSettings.of(context.config)
    selected = context.select("selected", candidates).selected
    if own.mode == "halving":
        return BUILDER.missing("halving", "successive halving trains no whole grid to compare with")
    if selected is None:
        return BUILDER.missing("halving", "no combination is selected")
    alive, steps, done = list(found), 0, 0
    for rung in own.rungs:
        looks = {n: _look_at(found[n], rung) for n in alive}
        steps, done = steps + (rung - done) * len(alive), rung
        alive = let_through(own, looks)
        if not alive:
            return BUILDER.missing("halving", f"every combination diverged before step {rung}")
    steps += (own.steps - done) * len(alive)
    left = context.select("selected", [c for c in candidates if c.name in alive])
    picked = left.selected
    detail: dict[str, Any] = {
        "of": "accuracy on test of the combination selected from the grid, less that of the one "
        "selected from those that successive halving leaves",
        "left_at_the_end": alive,
        "picked": picked,
        "selected_by_grid": selected,
        "share_of_steps_saved": 1 - steps / (own.steps * len(found)),
    }
    if picked is None:
        return BUILDER.missing(
            "halving", f"among the combinations that halving leaves, {left.reason}"
        )
    ours, theirs = (found[n].of("audio", CONFIRMED_ON) for n in (selected, picked))
    return BUILDER.difference(
        "halving",
        [row["right"] for row in ours],
        [row["right"] for row in theirs],
        [row["source"] for row in ours],
        seed=context.config.seed,
        identical=picked == selected,
        per_item="cells.parquet",
        measured_on={"selected": selected},
        detail=detail,
    )


def _look_at(swept: CellResult, step: int) -> Mapping[str, float] | None:
    """The cell's evaluation at a step; None if it had diverged by then."""
    return next((look for look in swept.result["looks"] if look["step"] == step), None)
