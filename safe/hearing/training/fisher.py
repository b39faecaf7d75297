"""Fisher-weighted penalty: weights that pictures depend on are held near where they were.

Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796): weight / 2 * sum over the
trainable weights of F * (w - anchor)^2, with F the diagonal of the empirical Fisher information,
the mean squared gradient of the log-probability of answers to VL rows.

Shape legend: P trainable weights, n rows that were asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from safe.errors import TrainingError


class FisherPenalty:
    """The penalty, once `anchor` has said where the weights are and what they weigh.

    Args:
        weights: the trainable tensors.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.information: list[Tensor] = []
        self.anchors: list[Tensor] = []

    def anchor(self, gradients_nP: Tensor) -> None:
        """Take the weights as they are as anchor, and (n, P) gradients of VL rows as information.

        The information is scaled to a mean of one, so that the penalty's weight means the same
        whatever the number of answer tokens.

        Raises:
            TrainingError: a gradient is not finite, or all of them vanish.
        """
        information = gradients_nP.double().pow(2).mean(dim=0)
        mean = float(information.mean())
        if not 0 < mean < float("inf"):
            raise TrainingError(
                f"the Fisher information of the VL rows is {mean}: nothing to hold weights by",
                hint="ask VL rows with the gate ON, and look for divergence in the training log",
            )
        sizes = [w.numel() for w in self.weights]
        parts = (information / mean).float().split(sizes)
        self.information = [
            p.view_as(w).to(w.device) for p, w in zip(parts, self.weights, strict=True)
        ]
        self.anchors = [w.detach().clone() for w in self.weights]

    def __call__(self) -> Tensor:
        """The penalty at the present weights, differentiable; mean over weights.

        Raises:
            TrainingError: there is no anchor yet.
        """
        if not self.anchors:
            raise TrainingError("the penalty has no anchor", hint="call `anchor` once before")
        total = torch.zeros((), device=self.weights[0].device)
        for weight, anchor, information in zip(
            self.weights, self.anchors, self.information, strict=True
        ):
            total = total + (information * (weight - anchor).float().pow(2)).sum()
        return total / 2 / sum(w.numel() for w in self.weights)

    def state(self) -> dict[str, list[Tensor]]:
        """What a checkpoint keeps."""
        return {"information": self.information, "anchors": self.anchors}

    def resume(self, state: dict[str, list[Tensor]]) -> None:
        """Go on with the anchor of a checkpoint."""
        self.information, self.anchors = list(state["information"]), list(state["anchors"])
