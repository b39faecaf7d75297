"""Plots of experiment 04."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from safe.hearing.context import Context
from safe.hearing.evaluation.learning import smooth
from safe.hearing.experiments.metric_builder import figure as figure_of
from safe.hearing.experiments.metric_builder import save_figure

if TYPE_CHECKING:
    from safe.hearing.experiments.stage_a_pilot.evaluator import Job

BLUE, GREY, ORANGE, GREEN = "#1f4e8c", "#b8c4d6", "#d08020", "#2e7d32"


def accuracy_by_type(context: Context, items: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy of SAFE, base and most common answer by question type, on test."""
    groups: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    for item in items:
        groups[item["question_type"]].append(
            (item["correct"], item["base_correct"], item["majority_correct"])
        )
    names = sorted(groups)
    figure, axis = figure_of(7.5, 0.5 * len(names) + 1.4)
    for place, (label, colour) in enumerate(
        (("SAFE, gate ON", BLUE), ("base", GREY), ("most common answer", ORANGE))
    ):
        values = [sum(r[place] for r in groups[n]) / len(groups[n]) for n in names]
        axis.barh([i - 0.27 + 0.27 * place for i in range(len(names))], values, 0.25,
                  color=colour, label=label)  # fmt: skip
    axis.set_yticks(range(len(names)), [f"{n} ({len(groups[n])})" for n in names], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel="accuracy", title="Held-out questions about sound")
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    save_figure(context, figure, "accuracy_by_type")


def training(context: Context, jobs: Mapping[str, Job], accuracy: Mapping[str, float]) -> None:
    """Loss of both arms, and their VL accuracy with the gate ON."""
    figure, (left, right) = figure_of(9, 3.6, 2)
    for arm, colour in (("distilled", BLUE), ("undistilled", ORANGE)):
        if jobs[arm].why_not is not None:
            continue
        steps = jobs[arm].steps()
        left.plot(*smooth(steps["cross_entropy"], 1), color=colour, label=f"{arm}: questions")
        if arm == "distilled":
            left.plot(*smooth(steps["divergence"], 1), color=GREEN, label=f"{arm}: KL to the base")
    left.set(xlabel="optimizer step", ylabel="nats per answer token", yscale="log",
             title="Training")  # fmt: skip
    left.legend(frameon=False, fontsize=8)
    names = [n for n in ("base", "distilled", "undistilled") if n in accuracy]
    colours = {"base": GREY, "distilled": BLUE, "undistilled": ORANGE}
    bars = right.bar(names, [accuracy[n] for n in names], color=[colours[n] for n in names])
    right.bar_label(bars, [f"{accuracy[n]:.3f}" for n in names], fontsize=8)
    right.set(ylim=(0, 1.08), ylabel="accuracy",
              title="VL questions, gate ON, irrelevant sound")  # fmt: skip
    save_figure(context, figure, "training")


def ablation(
    context: Context, cells: Sequence[Mapping[str, Any]], chosen: str | None, margin: float
) -> None:
    """Accuracy against parameters; the band is the margin below the best."""
    done = [cell for cell in cells if cell.get("accuracy") is not None]
    figure, axis = figure_of(6.5, 4)
    tokens = sorted({cell["audio_tokens"] for cell in done})
    for k, colour in zip(tokens, (BLUE, ORANGE, GREEN, GREY, "black"), strict=False):
        line = sorted((c for c in done if c["audio_tokens"] == k), key=lambda c: c["parameters"])
        axis.plot([c["parameters"] for c in line], [c["accuracy"] for c in line], "o-",
                  color=colour, label=f"k = {k}")  # fmt: skip
        for cell in line:
            axis.annotate(f"r {cell['rank']}", (cell["parameters"], cell["accuracy"]),
                          textcoords="offset points", xytext=(4, 5), fontsize=7)  # fmt: skip
    if done:
        best = max(cell["accuracy"] for cell in done)
        axis.axhspan(best - margin, best, color=GREEN, alpha=0.08, label="not worse than the best")
    for cell in done:
        if cell["config"] == chosen:
            axis.plot(cell["parameters"], cell["accuracy"], "o", ms=14, mfc="none", mec="black",
                      label=f"selected: {chosen}")  # fmt: skip
    axis.set(xlabel="trainable parameters", ylabel="accuracy (val, gate ON)", xscale="log",
             title="Ablation: audio tokens k and LoRA rank r")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    save_figure(context, figure, "ablation")
