"""Plot of experiment 05."""

from __future__ import annotations

from collections.abc import Sequence

from safe.hearing.context import Context
from safe.hearing.evaluation.gate_curve import Point
from safe.hearing.experiments.metric_builder import figure as figure_of
from safe.hearing.experiments.metric_builder import save_figure
from safe.hearing.models.gating import POLICIES, UncertaintyGate

COLOURS = dict(zip(POLICIES, ("#1f4e8c", "#d08020", "#2e7d32"), strict=True))
ENDS = {"always_on": "^", "always_off": "v"}


def tradeoff(context: Context, points: Sequence[Point], chosen: UncertaintyGate | None) -> None:
    """Accuracy against consultation rate, for questions that need their sound and for others."""
    figure, axes = figure_of(9.5, 3.9, 2)
    for axis, name, title in (
        (axes[0], "audio_accuracy", "Questions that need their sound"),
        (axes[1], "vl_accuracy", "Questions about the picture alone"),
    ):
        for kind, colour in COLOURS.items():
            line = sorted((p for p in points if p.kind == kind), key=lambda p: p.skip_rate)
            axis.plot([1 - p.skip_rate for p in line], [getattr(p, name) for p in line], "o-",
                      ms=3, lw=1, color=colour, label=kind.replace("_", " "))  # fmt: skip
        for point in points:
            if point.kind in ENDS:
                axis.plot(1 - point.skip_rate, getattr(point, name), ENDS[point.kind], ms=8,
                          color="black", label=point.kind.replace("_", " "))  # fmt: skip
            if chosen and (point.kind, point.threshold) == (chosen.kind, chosen.threshold):
                axis.plot(1 - point.skip_rate, getattr(point, name), "o", ms=13, mfc="none",
                          mec="black", label="selected")  # fmt: skip
        axis.set(xlabel="consultation rate, all questions", ylabel="accuracy", title=title)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("Test split; thresholds from validation", fontsize=9)
    save_figure(context, figure, "tradeoff")
