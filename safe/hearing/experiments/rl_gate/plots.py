"""Plot of experiment 12."""

from __future__ import annotations

from collections.abc import Sequence

from safe.hearing.context import Context
from safe.hearing.evaluation.action_curve import ActionPoint
from safe.hearing.experiments.gating.plots import COLOURS, ENDS
from safe.hearing.experiments.metric_builder import figure as figure_of
from safe.hearing.experiments.metric_builder import save_figure


def frontier(
    context: Context,
    learned: Sequence[ActionPoint],
    heuristic: Sequence[ActionPoint],
    selected: ActionPoint | None,
) -> None:
    """Accuracy against mean latency, over all questions."""
    figure, axis = figure_of(6.4, 4.2)
    for kind, colour in COLOURS.items():
        line = sorted((p for p in heuristic if p.kind == kind), key=lambda p: p.seconds)
        axis.plot([1000 * p.seconds for p in line], [p.accuracy for p in line], "o-", ms=3, lw=1,
                  color=colour, label=kind.replace("_", " "))  # fmt: skip
    for point in heuristic:
        if point.kind in ENDS:
            axis.plot(1000 * point.seconds, point.accuracy, ENDS[point.kind], ms=8, color="black",
                      label=point.kind.replace("_", " "))  # fmt: skip
    line = sorted(learned, key=lambda p: p.seconds)
    axis.plot([1000 * p.seconds for p in line], [p.accuracy for p in line], "D-", ms=5, lw=1,
              color="#b3261e", label="learned, one per weight")  # fmt: skip
    if selected:
        axis.plot(1000 * selected.seconds, selected.accuracy, "o", ms=14, mfc="none", mec="black",
                  label="selected")  # fmt: skip
    axis.set(xlabel="mean latency of an answer (ms)", ylabel="accuracy, all questions")
    axis.legend(frameon=False, fontsize=8)
    figure.suptitle("Test split; policies and thresholds from validation", fontsize=9)
    save_figure(context, figure, "frontier")
