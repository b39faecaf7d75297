"""Losses over answer tokens."""

from __future__ import annotations

from torch import Tensor


def answer_cross_entropy(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Mean negative log-probability in nats per answer token of the batch.

    Args:
        log_probs: (B, T), from `SafeModel.score`.
        mask: (B, T), 1 where there is a token.
    """
    return -(log_probs * mask).sum() / mask.sum()
