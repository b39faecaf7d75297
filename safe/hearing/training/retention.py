"""Retention of VL accuracy in addition to distillation: null-space projection, Fisher penalty.

Both are computed from gradients of a few VL examples that are paired with unrelated audio. The null
space is recomputed every `null_space_update_interval` steps, because the directions change during
training. The anchor of the penalty is the initial adapter, which is closest to the base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from safe.hearing.config import StageAConfig
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.fisher import FisherPenalty
from safe.hearing.training.null_space import NullSpace, what_fits
from safe.hearing.training.vl_gradients import Of

# (number of examples, seed of their audio, quantity to differentiate) -> (n, P) gradients
Gradients = Callable[[int, int, Of], Tensor]


class Retention:
    """Update hook with the methods that the settings enable.

    Args:
        gradients: computes gradients of VL examples at the current weights.

    Raises:
        ConfigError: the null space does not fit into `null_space_gb`.
    """

    def __init__(self, model: SafeModel, settings: StageAConfig, gradients: Gradients) -> None:
        self.settings, self.gradients = settings, gradients
        weights = list(model.trainable().values())
        self.null_space = NullSpace(weights) if settings.null_space else None
        self.fisher = FisherPenalty(weights) if settings.fisher else None
        self.taken_out: list[float] = []  # share of each update's norm
        self.fit = what_fits(
            sum(w.numel() for w in weights),
            round(settings.null_space_gb * 2**30),
            rows=settings.retention_rows,
            directions=settings.null_space or 1,
        )

    @property
    def mean_taken_out(self) -> float | None:
        """Mean share of an update's norm that the projection removed; None without projection."""
        return sum(self.taken_out) / len(self.taken_out) if self.taken_out else None

    def before_step(self, step: int) -> None:
        """Set the anchor (step 0) and recompute the null space if due, at the current weights."""
        if self.fisher and step == 0:
            self.fisher.anchor(self.gradients(self.fit.rows, 0, "log_probability"))
        if self.null_space and step % self.settings.null_space_update_interval == 0:
            margins = self.gradients(self.fit.rows, step, "margin")
            self.null_space.renew(margins, self.fit.directions)

    def penalty(self) -> Tensor | None:
        """Return the weighted Fisher penalty to add to the loss, or None."""
        return None if self.fisher is None else self.settings.fisher * self.fisher()

    def before_update(self) -> None:
        """Call it before the optimizer step."""
        if self.null_space:
            self.null_space.before_update()

    def after_update(self) -> None:
        """Call it after the optimizer step."""
        if self.null_space:
            self.taken_out.append(self.null_space.after_update())

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "null_space": self.null_space.state() if self.null_space else None,
            "fisher": self.fisher.state() if self.fisher else None,
            "taken_out": list(self.taken_out),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        if self.null_space:
            self.null_space.resume(state["null_space"])
        if self.fisher:
            self.fisher.resume(state["fisher"])
        self.taken_out = list(state["taken_out"])
