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
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        if not lengths:
            raise ValueError("there are no rows to draw batches from")
        self.lengths, self.batch_size, self.seed = list(lengths), batch_size, seed
        self.drawn = 0
        self._epoch, self._batches = -1, [[0]]

    @property
    def per_epoch(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def _make(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
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
