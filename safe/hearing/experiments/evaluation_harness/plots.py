"""Plots of experiment 07."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from safe.hearing.context import Context
from safe.hearing.evaluation.sound_quality import Condition
from safe.hearing.experiments.metric_builder import figure as figure_of
from safe.hearing.experiments.metric_builder import save_figure

HEARS, SEES = "#1f4e8c", "#d08020"


def drops(context: Context, table: Sequence[Mapping[str, Any]], min_drop: float) -> None:
    """Drop in the correct answer's log-probability without the sound, by question type."""
    by_kind: dict[tuple[bool, str], list[float]] = {}
    for row in table:
        by_kind.setdefault((not row["needs_sound"], row["question_type"]), []).append(row["drop"])
    kinds = sorted(by_kind)
    figure, axis = figure_of(8.0, 1.6 + 0.27 * len(kinds))
    for place, (picture, kind) in enumerate(kinds):
        values = [
            r["drop"]
            for r in table
            if (not r["needs_sound"], r["question_type"]) == (picture, kind)
        ]
        drawn = axis.boxplot([values], positions=[place], orientation="horizontal", widths=0.6,
                             showfliers=False, patch_artist=True)  # fmt: skip
        drawn["boxes"][0].set(facecolor=SEES if picture else HEARS, alpha=0.6)
        drawn["medians"][0].set(color="black")
    axis.axvline(min_drop, color="grey", lw=0.8, ls="--")
    axis.set_yticks(range(len(kinds)), [kind for _, kind in kinds], fontsize=8)
    axis.invert_yaxis()
    for colour, label in ((HEARS, "needs its sound"), (SEES, "about the picture alone")):
        axis.plot([], [], "s", color=colour, alpha=0.6, label=label)
    axis.legend(frameon=False, fontsize=8)
    axis.set(xlabel="loss in nats when muted", title="Leave one modality out")
    save_figure(context, figure, "lomo")


def quality(
    context: Context,
    conditions: Sequence[Condition],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Consultation rate and audio accuracy by condition."""
    figure, axis = figure_of(8.5, 4.2)
    names = [c.name for c in conditions]
    lines = {
        "consulted, needs its sound": [_share(tables[n], "consulted", True) for n in names],
        "consulted, picture alone": [_share(tables[n], "consulted", False) for n in names],
        "accuracy, needs its sound": [_share(tables[n], "score", True) for n in names],
    }
    kinds = [[i for i, c in enumerate(conditions) if c.kind == kind] for kind in
             dict.fromkeys(c.kind for c in conditions)]  # fmt: skip
    for (label, values), style in zip(lines.items(), ("o-", "s-", "^--"), strict=True):
        colour = None
        for places in kinds:  # connect only levels of the same kind
            (drawn,) = axis.plot(places, [values[i] for i in places], style, ms=4, color=colour,
                                 label=label if colour is None else None)  # fmt: skip
            colour = drawn.get_color()
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axis.set(ylim=(-0.03, 1.03), title="Gate and answers under degraded sound")
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    save_figure(context, figure, "sound_quality")


def _share(rows: Sequence[Mapping[str, Any]], column: str, needs_sound: bool) -> float:
    return float(np.mean([r[column] for r in rows if r["needs_sound"] == needs_sound]))
