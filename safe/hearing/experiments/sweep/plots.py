"""The plot of experiment 10."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import figure, save_figure


def grid(
    context: Context,
    table: Sequence[Mapping[str, Any]],
    *,
    within: Collection[str],
    stable: Collection[str],
) -> None:
    """Accuracy over both learning rates, a panel for each weight.

    Args:
        within: cells that satisfy the limits of the selection.
        stable: cells with a stable loss curve.
    """
    rates = {a: sorted({row[a] for row in table}) for a in ("projector_lr", "lora_lr")}
    weights = sorted({row["distillation"] for row in table})
    drawn, axes = figure(3.4 * len(weights) + 0.8, 3.6, columns=len(weights))
    known = [row["accuracy"] for row in table if row["accuracy"] is not None]
    shown = None
    for axis, weight in zip(axes, weights, strict=True):
        cells = [[float("nan")] * len(rates["lora_lr"]) for _ in rates["projector_lr"]]
        for row in (r for r in table if r["distillation"] == weight):
            at = (
                rates["projector_lr"].index(row["projector_lr"]),
                rates["lora_lr"].index(row["lora_lr"]),
            )
            value = row["accuracy"]
            cells[at[0]][at[1]] = float("nan") if value is None else value
            text = "diverged" if value is None else f"{value:.3f}"
            text += "\n" + (
                "meets" if row["cell"] in within else "" if row["cell"] in stable else "unstable"
            )
            axis.text(at[1], at[0], text.strip(), ha="center", va="center", fontsize="small")
        shown = axis.imshow(
            cells, cmap="YlGn", vmin=min(known, default=0), vmax=max([*known, 1e-9]), aspect="auto"
        )
        axis.set(title=f"weight {weight:g}", xlabel="LoRA learning rate")
        axis.set_xticks(range(len(rates["lora_lr"])), [f"{v:g}" for v in rates["lora_lr"]])
        axis.set_yticks(
            range(len(rates["projector_lr"])), [f"{v:g}" for v in rates["projector_lr"]]
        )
    axes[0].set_ylabel("projector learning rate")
    drawn.colorbar(shown, ax=list(axes), label="accuracy with sound")
    save_figure(context, drawn, "sweep_grid")
