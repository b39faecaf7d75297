"""Fisher-weighted penalty on changes of weights that VL answers depend on.

Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796): weight / 2 * sum over the
trainable weights of F * (w - anchor)^2, with F the diagonal of the empirical Fisher information,
the mean squared gradient of the log-probability of answers to VL examples.

Shape legend: P trainable weights, n VL examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from safe.errors import TrainingError


class FisherPenalty:
    """Penalty on the distance from anchor weights; call `anchor` first.

    Args:
        weights: the trainable tensors.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.information: list[Tensor] = []
        self.anchors: list[Tensor] = []

    def anchor(self, gradients_nP: Tensor) -> None:
        """Set the anchor to the current weights; compute information from gradients (n, P).

        The information is scaled to mean 1, so that the effect of the penalty's weight does not
        depend on the number of answer tokens.

        Raises:
            TrainingError: a gradient is not finite, or all gradients are zero.
        """
        information = gradients_nP.double().pow(2).mean(dim=0)
        mean = float(information.mean())
        if not 0 < mean < float("inf"):
            raise TrainingError(
                f"the mean Fisher information of the VL examples is {mean}",
                hint="compute gradients with the gate ON; check the training log for divergence",
            )
        sizes = [w.numel() for w in self.weights]
        parts = (information / mean).float().split(sizes)
        self.information = [
            p.view_as(w).to(w.device) for p, w in zip(parts, self.weights, strict=True)
        ]
        self.anchors = [w.detach().clone() for w in self.weights]

    def __call__(self) -> Tensor:
        """Compute the penalty at the current weights, differentiable; mean over weights.

        Raises:
            TrainingError: there is no anchor yet.
        """
        if not self.anchors:
            raise TrainingError("the penalty has no anchor", hint="call `anchor` first")
        total = torch.zeros((), device=self.weights[0].device)
        for weight, anchor, information in zip(
            self.weights, self.anchors, self.information, strict=True
        ):
            total = total + (information * (weight - anchor).float().pow(2)).sum()
        return total / 2 / sum(w.numel() for w in self.weights)

    def state(self) -> dict[str, list[Tensor]]:
        """Return the state for a checkpoint."""
        return {"information": self.information, "anchors": self.anchors}

    def resume(self, state: dict[str, list[Tensor]]) -> None:
        """Restore the state of a checkpoint."""
        self.information, self.anchors = list(state["information"]), list(state["anchors"])
