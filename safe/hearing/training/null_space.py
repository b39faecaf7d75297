"""Null-space projection: an update may not move what pictures are answered with, to first order.

The directions in which the answers to VL rows change are the gradients of their margins, each taken
at unit length: a row that is sure of its answer counts as much as one that is not.
Their span is kept as an orthonormal basis over all trainable weights together, and the part of
every optimizer update that lies in it is taken out again, after the optimizer, so that neither its
moments nor its weight decay lead back into it. After gradient projection memory (Saha et al. 2021,
arXiv:2103.09762) and orthogonal gradient descent (Farajtabar et al. 2020, arXiv:1910.07104), which
project the gradient; with Adam the update is not its gradient, and it is the update that counts.

Shape legend: P trainable weights, n rows that were asked, m directions kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safe.errors import ConfigError, TrainingError

BYTES = 4  # the basis is float32 whatever the weights are
PIECE = 2**15  # weights that are looked at in float64 at once


@dataclass(frozen=True, slots=True)
class Fit:
    """What a memory budget holds while a basis is made and used.

    Attributes:
        rows: n, gradients held at once when the basis is made.
        directions: m, kept for training.
        making_bytes, kept_bytes: peak while it is made, and afterwards.
    """

    rows: int
    directions: int
    making_bytes: int
    kept_bytes: int


def what_fits(parameters: int, budget_bytes: int, *, rows: int, directions: int) -> Fit:
    """How many of the wanted rows and directions a budget holds.

    Gradients (n, P) and the basis (m, P) that is made from them are in memory together.

    Raises:
        ConfigError: not even two gradients and one direction fit.
    """
    vector = BYTES * parameters
    vectors = budget_bytes // vector
    if vectors < 3:
        raise ConfigError(
            f"a null-space basis of {parameters:,} weights takes at least {3 * vector:,} bytes "
            f"and {budget_bytes:,} are allowed",
            key="stage_a.null_space_gb",
            hint="allow more memory, or train a smaller adapter",
        )
    kept = min(directions, rows, int(vectors) // 2)
    asked = min(rows, int(vectors) - kept)
    kept = min(kept, asked)
    return Fit(asked, kept, (asked + kept) * vector, kept * vector)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """(P,) float32: the tensors one behind the other."""
    return torch.cat([t.detach().reshape(-1).float() for t in tensors])


def basis_of(gradients_nP: Tensor, directions: int, *, tolerance: float = 1e-6) -> Tensor:
    """(m, P), orthonormal: the leading directions of the gradients' span.

    Through the eigenvectors of the (n, n) Gram matrix, as n is far below P. Directions whose
    singular value is under `tolerance` of the largest are noise and left out. Nothing of the size
    of the gradients is made but the basis.

    Raises:
        TrainingError: a gradient is not finite, or all of them vanish.
    """
    if not bool(torch.isfinite(gradients_nP).all()):
        raise TrainingError(
            "a gradient of a VL row is not finite; no null space can be taken",
            hint="look for divergence in the training log",
        )
    gram = _gram(gradients_nP)
    lengths_n = gram.diagonal().sqrt().clamp_min(torch.finfo(gradients_nP.dtype).tiny)
    values, vectors = torch.linalg.eigh(gram / lengths_n.outer(lengths_n))
    order = torch.arange(len(values) - 1, -1, -1)[:directions]
    strength = values[order].clamp_min(0).sqrt()
    if float(strength[0]) == 0:
        raise TrainingError(
            "no VL row has a gradient: the gate is OFF, or nothing is trainable",
            hint="ask VL rows with the gate ON; with the gate OFF there is nothing to keep",
        )
    kept = strength > tolerance * strength[0]
    chosen_nm = vectors[:, order[kept]] / strength[kept] / lengths_n[:, None]
    return (chosen_nm.T.to(gradients_nP.dtype) @ gradients_nP).float()


def _gram(gradients_nP: Tensor) -> Tensor:
    """(n, n) float64: inner products, a piece of the weights at a time."""
    gram = torch.zeros(len(gradients_nP), len(gradients_nP), dtype=torch.float64)
    gram = gram.to(gradients_nP.device)
    for piece in gradients_nP.split(PIECE, dim=1):
        wide = piece.double()
        gram.addmm_(wide, wide.T)
    return gram


class NullSpace:
    """Takes the part of an update that lies in the span of VL rows' gradients out of it.

    Args:
        weights: the trainable tensors, in the order of the gradients.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.basis: Tensor | None = None
        self._before: Tensor | None = None

    def renew(self, gradients_nP: Tensor, directions: int) -> int:
        """Take a new basis; the number of directions in it."""
        self.basis = basis_of(gradients_nP, directions)
        return len(self.basis)

    def before_update(self) -> None:
        """Note where the weights are; call it before the optimizer's step."""
        self._before = flat(self.weights)

    @torch.no_grad()
    def after_update(self) -> float:
        """Project the update that the optimizer made.

        Returns:
            Share of the update's norm that was taken out.

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
        """What a checkpoint keeps: the basis."""
        return self.basis

    def resume(self, state: Tensor | None) -> None:
        """Go on with the basis of a checkpoint."""
        self.basis = state
