"""10 Sweep: where is training stable, and what is the smallest combination that will do?

Each training is a job (`jobs.py`). With 27 combinations the best of noise looks
like a find; so a combination is held to the criteria by bounds at the level that the number of
combinations asks for (Bonferroni), and the one that is taken must hold them once more on rows that
the choice has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safe.gates.schema import Metric
from safe.hearing.config import RunConfig, SweepConfig
from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.sweep import METRICS, plots
from safe.hearing.experiments.sweep.cells import LEVEL, Items, Swept, confirm, read_cell, row_of
from safe.hearing.experiments.sweep.plan import (
    CHOSEN_ON,
    CONFIRMED_ON,
    cells,
    let_through,
    neighbours,
)
from safe.hearing.experiments.targets import TARGET_GAIN

BUILDER = MetricBuilder(METRICS)
RULE = (
    "the smallest product of learning rates, then the smallest weight, among the combinations with "
    "a stable curve whose gain over the base, VL drop and distance to the best accuracy are within "
    "their limits, each by a bound at the level of all combinations together on validation; and it "
    "must be within them again on test, by 95 % bounds"
)


def measure(context: Context) -> list[Metric]:
    """Hold the cells against the criteria, and against one another."""
    config = context.config
    found = {cell.name: read_cell(context, cell) for cell in cells(config.sweep)}
    whole = {name: cell for name, cell in found.items() if cell.whole}
    best = max(whole, key=lambda name: whole[name].accuracy(CHOSEN_ON), default="")
    table = [row_of(config, cell, whole.get(best)) for cell in found.values()]
    write_table(context, "cells.parquet", table)
    plots.grid(context, table)
    meeting = [row["cell"] for row in table if row["meets"]]
    selected = meeting[0] if meeting else None  # the table begins with the smallest
    confirmed = confirm(config, found[selected], found[best]) if selected else None
    return [
        _selected(config, table, selected, confirmed),
        BUILDER.measured(
            "stable_curves",
            sum(row["stable"] for row in table) / len(table),
            len(table),
            per_item="cells.parquet",
            detail={
                "unstable": {row["cell"]: row["why_unstable"] for row in table if not row["stable"]}
            },
        ),
        _consistent(config.sweep, found, len(table)),
        _halving(config, found, table, selected),
    ]


def _selected(
    config: RunConfig, table: Items, selected: str | None, confirmed: Mapping[str, Any] | None
) -> Metric:
    """How many combinations meet the criteria; none where the chosen one is not confirmed."""
    meeting = [row["cell"] for row in table if row["meets"]]
    holds = bool(confirmed and confirmed["confirmed"])
    return BUILDER.measured(
        "selected",
        len(meeting) if holds else 0,
        len(table),
        per_item="cells.parquet",
        detail={
            "selected": selected if holds else None,
            "rule": RULE,
            "limits": {
                "gain": TARGET_GAIN,
                "vl_drop": config.sweep.max_vl_drop,
                "behind_best": config.sweep.margin,
            },
            "level_of_each": 1 - (1 - LEVEL) / len(table),
            "meeting": meeting,
            "chosen_on_validation": selected,
            "on_test": dict(confirmed or {}),
        },
    )


# -- neighbours, and what successive halving would do ---------------------------------------------


def _consistent(own: SweepConfig, found: Mapping[str, Swept], count: int) -> Metric:
    """The largest difference of accuracy between neighbours, as far as both were trained."""
    gaps: dict[str, float] = {}
    for one, other in neighbours(own):
        a, b = found[one.name], found[other.name]
        if a.result["diverged"] or b.result["diverged"]:
            continue  # `stable_curves` has them
        looks = [
            {look["step"]: look["audio_accuracy"] for look in s.result["looks"]} for s in (a, b)
        ]
        step = max(looks[0].keys() & looks[1].keys(), default=None)
        if a.whole and b.whole:
            gaps[f"{one.name} / {other.name}"] = abs(a.accuracy() - b.accuracy())
        elif step is not None:
            gaps[f"{one.name} / {other.name}"] = abs(looks[0][step] - looks[1][step])
    if not gaps:
        return BUILDER.missing("consistent", "no two neighbours were trained without diverging")
    widest = sorted(gaps, key=lambda pair: -gaps[pair])
    return BUILDER.measured(
        "consistent",
        gaps[widest[0]],
        count,
        per_item="cells.parquet",
        detail={"widest": {pair: gaps[pair] for pair in widest[:5]}, "pairs": len(gaps)},
    )


def _halving(
    config: RunConfig, found: Mapping[str, Swept], table: Items, selected: str | None
) -> Metric:
    """What successive halving loses against the grid, replayed on the grid's own looks."""
    own = config.sweep
    if own.mode == "halving":
        return BUILDER.missing("halving", "the run halves: no whole grid to hold it against")
    if selected is None:
        return BUILDER.missing("halving", "no combination meets the criteria")
    alive, steps, done = list(found), 0, 0
    for rung in own.rungs:
        looks = {n: _look_at(found[n], rung) for n in alive}
        steps, done = steps + (rung - done) * len(alive), rung
        alive = let_through(own, looks)
        if not alive:
            return BUILDER.missing("halving", f"every combination diverged before step {rung}")
    steps += (own.steps - done) * len(alive)
    picked = next((row["cell"] for row in table if row["cell"] in alive and row["meets"]), None)
    detail: dict[str, Any] = {
        "of": "accuracy on test of the combination that the grid takes, less that of the one that "
        "successive halving takes",
        "left_at_the_end": alive,
        "picked": picked,
        "selected_by_grid": selected,
        "share_of_steps_saved": 1 - steps / (own.steps * len(found)),
    }
    if picked is None:
        return BUILDER.missing("halving", "none of those that halving leaves meets the criteria")
    ours, theirs = (found[n].of("audio", CONFIRMED_ON) for n in (selected, picked))
    return BUILDER.difference(
        "halving",
        [row["right"] for row in ours],
        [row["right"] for row in theirs],
        [row["source"] for row in ours],
        seed=config.seed,
        identical=picked == selected,
        per_item="cells.parquet",
        detail=detail,
    )


def _look_at(swept: Swept, step: int) -> Mapping[str, float] | None:
    """What the cell's held-out rows said at a step; None where it had diverged by then."""
    return next((look for look in swept.result["looks"] if look["step"] == step), None)
