"""Plots of experiment 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import figure, save_figure

COLOURS = ("#1f4e8c", "#7a8699", "#2e7d32", "#d08020", "black")
MB = 2**20


def throughput(context: Context, points: Sequence[Mapping[str, Any]]) -> None:
    """Throughput against batch size."""
    drawn, axis = figure(7, 4)
    kinds = list(dict.fromkeys(point["kind"] for point in points))
    for kind, colour in zip(kinds, COLOURS, strict=False):
        line = [point for point in points if point["kind"] == kind]
        axis.plot([p["batch"] for p in line], [p["samples_per_s"] for p in line], "o-",
                  color=colour, label=kind)  # fmt: skip
    axis.set(xlabel="batch", ylabel="examples per second (median)", xscale="log", yscale="log",
             title="Throughput")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    save_figure(context, drawn, "throughput")


def memory(
    context: Context, training: Sequence[Mapping[str, Any]], line: tuple[float, float], budget: int
) -> None:
    """Peak training memory against batch size, with a linear fit."""
    drawn, axis = figure(7, 4)
    sizes = np.array([point["batch"] for point in training])
    axis.plot(sizes, [p["peak_bytes"] / MB for p in training], "o", color=COLOURS[0], label="peak")
    slope, intercept = line
    axis.plot(sizes, (intercept + slope * sizes) / MB, "--", color=COLOURS[3],
              label=f"{intercept / MB:.0f} MB + {slope / MB:.2f} MB per example")  # fmt: skip
    axis.set(xlabel="batch", ylabel="MB",
             title=f"Peak memory of training (budget {budget / MB:,.0f} MB)")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    save_figure(context, drawn, "memory")


def latency(context: Context, rows: Sequence[Mapping[str, Any]]) -> None:
    """Latency per question against the number of audio tokens."""
    drawn, axis = figure(7, 4)
    sizes = sorted({row["audio_tokens"] for row in rows})
    names = {"off": "gate OFF", "cached": "cached audio", "uncached": "audio on the fly"}
    for (mode, name), colour in zip(names.items(), COLOURS[1:], strict=False):
        values = [[1000 * r[mode] for r in rows if r["audio_tokens"] == k] for k in sizes]
        axis.plot(sizes, [np.median(v) for v in values], "o-", color=colour,
                  label=name)  # fmt: skip
        axis.plot(sizes, [np.quantile(v, 0.95) for v in values], ":", color=colour)
    axis.set(xlabel="audio tokens k", ylabel="ms per question (dotted: 95th percentile)",
             title="Latency of single questions", xticks=sizes)  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    save_figure(context, drawn, "latency")
