"""Batch samplers: batches of similar lengths with little padding, shuffled and resumable."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

POOL = 8  # batches sorted by length together; a larger pool makes epochs more similar


class LengthBatches:
    """Infinite batches of indices, each index once per epoch, determined by the seed.

    Args:
        lengths: number of tokens of each example.
        batch_size: examples per batch; one batch of an epoch may have fewer.
        even: all batches have the same size; the remaining examples of an epoch are dropped.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, *, even: bool = False
    ) -> None:
        if not lengths:
            raise ValueError("there are no examples to sample batches from")
        if even and batch_size > len(lengths):
            raise ValueError(f"{len(lengths)} examples do not fill a batch of {batch_size}")
        self.lengths, self.batch_size, self.seed = list(lengths), batch_size, seed
        self.even = even
        self.drawn = 0
        self._epoch, self._batches = -1, [[0]]

    @property
    def per_epoch(self) -> int:
        """Number of batches per epoch."""
        if self.even:
            return len(self.lengths) // self.batch_size
        return math.ceil(len(self.lengths) / self.batch_size)

    def _make(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if self.even:
            order = order[: self.per_epoch * self.batch_size]
        batches: list[list[int]] = []
        for start in range(0, len(order), self.batch_size * POOL):
            pool = order[start : start + self.batch_size * POOL]
            pool.sort(key=self.lengths.__getitem__)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[i] for i in shuffled]

    def next(self) -> list[int]:
        """Return the indices of the next batch."""
        epoch, place = divmod(self.drawn, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._make(epoch)
        self.drawn += 1
        return self._batches[place]

    def state(self) -> dict[str, int]:
        """Return the state for a checkpoint."""
        return {"drawn": self.drawn}

    def resume(self, state: dict[str, int]) -> None:
        """Restore the state of a checkpoint."""
        self.drawn = int(state["drawn"])


class MixedBatches:
    """Batches with a fixed share of two kinds of examples: those of `first`, then of `second`.

    Args:
        first: samples indices 0 .. n-1.
        second: samples the indices from n on; None if there are none.
    """

    def __init__(self, first: LengthBatches, second: LengthBatches | None) -> None:
        self.first, self.second = first, second

    @property
    def per_epoch(self) -> int:
        """Number of batches in an epoch of `first`."""
        return self.first.per_epoch

    def next(self) -> list[int]:
        """Return the indices of the next batch."""
        rows = list(self.first.next())
        if self.second is not None:
            offset = len(self.first.lengths)
            rows += [offset + row for row in self.second.next()]
        return rows

    def state(self) -> dict[str, int]:
        """Return the state for a checkpoint; it is the same for both samplers."""
        return self.first.state()

    def resume(self, state: dict[str, int]) -> None:
        """Restore the state of a checkpoint."""
        self.first.resume(state)
        if self.second is not None:
            self.second.resume(state)


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Return the share of padding if each batch is padded to its longest example."""
    filled = sum(lengths[row] for batch in batches for row in batch)
    total = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return 1 - filled / total
