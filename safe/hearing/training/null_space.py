"""Null-space projection: updates do not change answers to VL examples, to first order.

The answers change along the gradients of their margins. Each gradient is normalised, so that
examples with a certain answer count as much as others. An orthonormal basis of their span, over all
trainable weights together, is stored. The component of every update in this span is removed after
the optimizer step, which includes the effect of moments and weight decay. Gradient projection
memory (Saha et al. 2021, arXiv:2103.09762) and orthogonal gradient descent (Farajtabar et al. 2020,
arXiv:1910.07104) project the gradient instead; with Adam the update is not along the gradient.

Shape legend: P trainable weights, n VL examples, m directions kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safe.errors import ConfigError, TrainingError

BYTES = 4  # the basis is float32 for every dtype of the weights
PIECE = 2**15  # number of weights converted to float64 at once


@dataclass(frozen=True, slots=True)
class Fit:
    """Size of a basis that fits into a memory budget.

    Attributes:
        rows: n, number of gradients that the basis is computed from.
        directions: m, number of directions kept.
        making_bytes, kept_bytes: memory while the basis is computed, and afterwards.
    """

    rows: int
    directions: int
    making_bytes: int
    kept_bytes: int


def what_fits(parameters: int, budget_bytes: int, *, rows: int, directions: int) -> Fit:
    """Reduce the numbers of gradients and directions to what fits into a memory budget.

    Gradients (n, P) and the basis (m, P) are in memory at the same time.

    Raises:
        ConfigError: two gradients and one direction do not fit.
    """
    vector = BYTES * parameters
    vectors = budget_bytes // vector
    if vectors < 3:
        raise ConfigError(
            f"a null-space basis of {parameters:,} weights needs at least {3 * vector:,} bytes; "
            f"the limit is {budget_bytes:,}",
            key="stage_a.null_space_gb",
            hint="raise the limit, or train a smaller adapter",
        )
    kept = min(directions, rows, int(vectors) // 2)
    gradients = min(rows, int(vectors) - kept)
    kept = min(kept, gradients)
    return Fit(gradients, kept, (gradients + kept) * vector, kept * vector)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Flatten and concatenate the tensors to (P,) float32."""
    return torch.cat([t.detach().reshape(-1).float() for t in tensors])


def basis_of(gradients_nP: Tensor, directions: int, *, tolerance: float = 1e-6) -> Tensor:
    """Compute the leading directions of the gradients' span, (m, P), orthonormal.

    Uses the eigenvectors of the (n, n) Gram matrix, as n is much smaller than P. Directions with a
    singular value below `tolerance` times the largest are left out. The basis is the only
    allocation of the size of the gradients.

    Raises:
        TrainingError: a gradient is not finite, or all gradients are zero.
    """
    if not bool(torch.isfinite(gradients_nP).all()):
        raise TrainingError(
            "the gradient of a VL example is not finite",
            hint="check the training log for divergence",
        )
    gram = _gram(gradients_nP)
    lengths_n = gram.diagonal().sqrt().clamp_min(torch.finfo(gradients_nP.dtype).tiny)
    values, vectors = torch.linalg.eigh(gram / lengths_n.outer(lengths_n))
    order = torch.arange(len(values) - 1, -1, -1)[:directions]
    strength = values[order].clamp_min(0).sqrt()
    if float(strength[0]) == 0:
        raise TrainingError(
            "all gradients of VL examples are zero: the gate is OFF, or nothing is trainable",
            hint="compute the gradients with the gate ON",
        )
    kept = strength > tolerance * strength[0]
    chosen_nm = vectors[:, order[kept]] / strength[kept] / lengths_n[:, None]
    return (chosen_nm.T.to(gradients_nP.dtype) @ gradients_nP).float()


def _gram(gradients_nP: Tensor) -> Tensor:
    """(n, n) float64 inner products, summed over pieces of the weights."""
    gram = torch.zeros(len(gradients_nP), len(gradients_nP), dtype=torch.float64)
    gram = gram.to(gradients_nP.device)
    for piece in gradients_nP.split(PIECE, dim=1):
        wide = piece.double()
        gram.addmm_(wide, wide.T)
    return gram


class NullSpace:
    """Removes the component of updates in the span of the VL examples' gradients.

    Args:
        weights: the trainable tensors, in the order of the gradients.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.basis: Tensor | None = None
        self._before: Tensor | None = None

    def renew(self, gradients_nP: Tensor, directions: int) -> int:
        """Compute a new basis and return its number of directions."""
        self.basis = basis_of(gradients_nP, directions)
        return len(self.basis)

    def before_update(self) -> None:
        """Store the weights; call it before the optimizer step."""
        self._before = flat(self.weights)

    @torch.no_grad()
    def after_update(self) -> float:
        """Project the optimizer's update; call it after the optimizer step.

        Returns:
            Norm of the removed component, as a share of the update's norm.

        Raises:
            TrainingError: there is no basis, or `before_update` was not called.
        """
        if self.basis is None or self._before is None:
            raise TrainingError(
                "there is no update to project",
                hint="call `renew` once and `before_update` before every step",
            )
        update = flat(self.weights) - self._before
        inside = self.basis.T @ (self.basis @ update)
        start = 0
        for weight in self.weights:
            part = inside[start : start + weight.numel()].view_as(weight)
            weight.sub_(part.to(weight.dtype))
            start += weight.numel()
        self._before = None
        size = float(update.norm())
        return float(inside.norm()) / size if size > 0 else 0.0

    def state(self) -> Tensor | None:
        """Return the basis for a checkpoint."""
        return self.basis

    def resume(self, state: Tensor | None) -> None:
        """Restore the basis of a checkpoint."""
        self.basis = state
