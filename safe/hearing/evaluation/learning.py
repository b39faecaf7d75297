"""Did it learn? The shape of a loss curve, and the loss of a model that ignores what it hears."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

BLOCKS = 25


def smooth(
    losses: Sequence[float], epoch: int, blocks: int = BLOCKS
) -> tuple[list[float], list[float]]:
    """Means of the loss over consecutive blocks of steps: (middle step, mean) of each.

    Where there are epochs enough, a block is of whole epochs: it sees every row equally often,
    and its mean moves with what was learned and not with which rows were drawn. Steps left over
    at the end belong to the last block.

    Args:
        losses: one a step.
        epoch: steps of an epoch.
        blocks: least number wanted; fewer only where there are fewer steps.
    """
    per_block = len(losses) // blocks
    length = per_block - per_block % epoch if per_block >= epoch else max(1, per_block)
    edges = [*(length * i for i in range(max(1, len(losses) // length))), len(losses)]
    pairs = list(pairwise(edges))
    return [(a + b - 1) / 2 for a, b in pairs], [sum(losses[a:b]) / (b - a) for a, b in pairs]


def prior_entropy(groups: Iterable[str], answers: Iterable[str]) -> float:
    """Conditional entropy H(answer | group) in nats per item, of the given items.

    The least mean loss per answer of a model that knows the group and nothing else of the item
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
    """Equal but for case and white space."""
    return " ".join(given.casefold().split()) == " ".join(wanted.casefold().split())
