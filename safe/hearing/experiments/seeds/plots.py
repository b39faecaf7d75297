"""The plot of experiment 11."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import figure, save_figure


def plot_seeds(context: Context, table: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy of every seed, on audio questions and on pictures with unrelated sounds."""
    drawn, axes = figure(8.4, 3.4, columns=2)
    titles = {"audio_accuracy": "questions that need their sound", "vl_accuracy": "VL questions"}
    for axis, (column, title) in zip(axes, titles.items(), strict=True):
        values = [row[column] for row in table]
        middle = sum(values) / len(values)
        axis.axhline(middle, color="0.6", linewidth=1)
        axis.plot([str(row["seed"]) for row in table], values, "o")
        room = max(0.01, 2 * max(abs(v - middle) for v in values))
        axis.set(title=title, xlabel="seed", ylim=(middle - room, middle + room))
    axes[0].set_ylabel("accuracy")
    save_figure(context, drawn, "seeds")
