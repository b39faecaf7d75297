"""Batches of rows of like length: little padding, any order, and a place to resume from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

POOL = 8  # batches sorted by length together; more would make every epoch's order alike


class LengthBatches:
    """Endless batches of row numbers, each row once an epoch; all from `seed` and the place.

    Args:
        lengths: tokens of every row.
        batch_size: rows of a batch; the last of an epoch may have fewer.
        even: every batch has as many rows; the few left over wait for the next epoch's shuffle.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, *, even: bool = False
    ) -> None:
        if not lengths:
            raise ValueError("there are no rows to draw batches from")
        if even and batch_size > len(lengths):
            raise ValueError(f"{len(lengths)} rows do not fill a batch of {batch_size}")
        self.lengths, self.batch_size, self.seed = list(lengths), batch_size, seed
        self.even = even
        self.drawn = 0
        self._epoch, self._batches = -1, [[0]]

    @property
    def per_epoch(self) -> int:
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
        """The next batch of row numbers."""
        epoch, place = divmod(self.drawn, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._make(epoch)
        self.drawn += 1
        return self._batches[place]

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"drawn": self.drawn}

    def resume(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.drawn = int(state["drawn"])


class MixedBatches:
    """Two kinds of rows in a fixed share of every batch: those of `first`, then those of `second`.

    Args:
        first: draws from rows 0 .. n-1.
        second: draws from the rows behind them; None where there are none.
    """

    def __init__(self, first: LengthBatches, second: LengthBatches | None) -> None:
        self.first, self.second = first, second

    @property
    def per_epoch(self) -> int:
        """Batches until every row of `first` has been drawn."""
        return self.first.per_epoch

    def next(self) -> list[int]:
        """The next batch of row numbers."""
        rows = list(self.first.next())
        if self.second is not None:
            offset = len(self.first.lengths)
            rows += [offset + row for row in self.second.next()]
        return rows

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps; both are drawn from once a batch."""
        return self.first.state()

    def resume(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.first.resume(state)
        if self.second is not None:
            self.second.resume(state)


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of positions that are padding where each batch is padded to its longest row."""
    filled = sum(lengths[row] for batch in batches for row in batch)
    total = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    return 1 - filled / total
