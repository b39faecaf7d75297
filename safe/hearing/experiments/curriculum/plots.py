"""The plot of experiment 08."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import figure, save_figure

COLOURS = {"advance": "tab:green", "finish": "tab:green", "extend": "tab:orange", "stop": "tab:red"}


def epochs(context: Context, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Audio accuracy, VL drop and the action taken after every epoch; one panel per run."""
    shown = [job for job in lines if job != "resumed"]  # the same as `normal`
    drawn, axes = figure(4.5 * len(shown), 3.4, columns=len(shown))
    for axis, job in zip(axes, shown, strict=True):
        found = [line for line in lines[job] if line["kind"] == "epoch"]
        places = range(len(found))
        axis.plot(places, [e["audio_accuracy"] for e in found], "o-", label="audio accuracy")
        axis.plot(places, [e["vl_drop"] for e in found], "s--", label="VL drop, gate ON")
        for place, line in enumerate(found):
            axis.axvspan(
                place - 0.5, place + 0.5, color=COLOURS.get(line["action"], "tab:blue"), alpha=0.12
            )
            axis.annotate(line["action"], (place, 0.5), rotation=90, ha="center", va="center")
        axis.set(title=job, ylim=(-0.05, 1.05), xlabel="end of the epoch")
        axis.set_xticks(list(places), [line["stage"] for line in found], rotation=30)
        axis.legend(fontsize="small")
    save_figure(context, drawn, "curriculum")
