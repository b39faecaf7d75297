"""Smoothing of loss curves, and the loss of a model that ignores the audio."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

BLOCKS = 25


def smooth(
    losses: Sequence[float], epoch: int, blocks: int = BLOCKS
) -> tuple[list[float], list[float]]:
    """Average the loss over consecutive blocks of steps; return middle steps and means.

    If there are enough steps, a block consists of whole epochs, so that every example counts
    equally and the means do not depend on the order of examples. Remaining steps at the end belong
    to the last block.

    Args:
        losses: one per step.
        epoch: number of steps of an epoch.
        blocks: minimum number of blocks; there are fewer only if there are fewer steps.
    """
    per_block = len(losses) // blocks
    length = per_block - per_block % epoch if per_block >= epoch else max(1, per_block)
    edges = [*(length * i for i in range(max(1, len(losses) // length))), len(losses)]
    pairs = list(pairwise(edges))
    return [(a + b - 1) / 2 for a, b in pairs], [sum(losses[a:b]) / (b - a) for a, b in pairs]


def prior_entropy(groups: Iterable[str], answers: Iterable[str]) -> float:
    """Compute the conditional entropy H(answer | group) of the items, in nats per item.

    This is the minimum mean loss per answer of a model that knows only the group of an item
    (Cover and Thomas, ch. 2).
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, answer in zip(groups, answers, strict=True):
        counts[group][answer] += 1
    total = sum(c.total() for c in counts.values())
    return sum(
        n / total * -math.log(n / c.total()) for c in counts.values() for n in c.values() if n
    )


def same_answer(given: str, wanted: str) -> bool:
    """Return True if the answers are equal up to case and white space."""
    return " ".join(given.casefold().split()) == " ".join(wanted.casefold().split())
