"""The plots of experiment 09."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import figure, save_figure

Rows = Sequence[Mapping[str, Any]]


def over_steps(context: Context, jobs: Mapping[str, Rows]) -> None:
    """Drift and audio accuracy during training, averaged over seeds."""
    drawn, axes = figure(10.5, 4.2, columns=2)
    for name, rows in jobs.items():
        style = ":" if name.startswith("lambda") else "-"
        for axis, column in zip(axes, ("drift", "audio_accuracy"), strict=True):
            by_step: dict[int, list[float]] = defaultdict(list)
            for row in rows:
                by_step[row["step"]].append(row[column])
            steps = sorted(by_step)
            means = [sum(by_step[s]) / len(by_step[s]) for s in steps]
            axis.plot(steps, means, style, label=name.replace("_", " "))
    axes[0].set(xlabel="step", ylabel="drift, nats per answer token")
    axes[0].set_yscale("symlog", linthresh=1e-3)
    axes[1].set(xlabel="step", ylabel="accuracy, questions that need their sound")
    axes[1].legend(fontsize="x-small", loc="lower right")
    save_figure(context, drawn, "retention_over_steps")


def frontier(context: Context, table: Rows) -> None:
    """Audio accuracy against drift, one point per job."""
    drawn, axis = figure(6.4, 4.6)
    for row in table:
        if row["drift"] is None:
            continue
        marker = "s" if row["job"].startswith("lambda") else "o"
        axis.plot(row["drift"], row["audio_accuracy"], marker, color="tab:blue")
        axis.annotate(
            row["job"].replace("_", " "),
            (row["drift"], row["audio_accuracy"]),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize="x-small",
        )
    axis.set(xlabel="drift, nats per answer token", ylabel="accuracy with sound")
    axis.set_xscale("symlog", linthresh=1e-3)
    save_figure(context, drawn, "retention_frontier")
