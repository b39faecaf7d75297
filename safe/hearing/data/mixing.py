"""Batches for a curriculum stage: share of audio rows and difficulties exact in every batch.

Batch `i` is a pure function of (rows, stage, batch size, seed, i). So every process draws the same
batches, a resumed run goes on with the very batch it was killed in, and nothing has to be saved
but the number of the batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from safe.errors import ConfigError
from safe.hearing.config import StageConfig
from safe.hearing.data.sample import Sample

Indices = NDArray[np.int64]


def is_audio_row(sample: Sample) -> bool:
    """Whether answering needs the sound: every task but `vl`."""
    return sample.task != "vl"


class _Pool:
    """An endless sequence: every row once before any comes again, each pass reshuffled."""

    def __init__(self, rows: Indices, key: Sequence[int]) -> None:
        self.rows = rows
        self._pass = lru_cache(maxsize=2)(
            lambda number: np.random.default_rng([*key, number]).permutation(rows)
        )

    def take(self, first: int, last: int) -> Indices:
        """Elements `first` to `last` (exclusive) of the sequence."""
        size = len(self.rows)
        parts = [
            self._pass(number)[max(first - number * size, 0) : last - number * size]
            for number in range(first // size, -(-last // size))
        ]
        return np.concatenate(parts) if parts else self.rows[:0]


class StageSampler:
    """Draws the batches of one stage.

    Of each batch, `audio_ratio * batch_size` rows are audio rows. Where that is no whole number,
    a batch has the next lower or higher one, such that the total over any first n batches is
    never off by more than half a row.

    Args:
        samples: rows to draw from.
        stage: ratio and difficulties.
        batch_size: rows of a batch over all processes.
        seed: the run's seed.
        rank, world_size: this process and their number; each gets its own part of every batch.

    Raises:
        ConfigError: the stage asks for rows there are none of, or the batch cannot be dealt out
            evenly to the processes.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        stage: StageConfig,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size or not 0 <= rank < world_size:
            raise ConfigError(
                f"a batch of {batch_size} cannot be dealt out to {world_size} processes",
                key="curriculum.batch_size",
                hint="make batch_size a multiple of the number of processes",
            )
        self.stage, self.batch_size, self.seed = stage, batch_size, seed
        self.rank, self.world_size = rank, world_size
        allowed = [i for i, s in enumerate(samples) if s.difficulty in stage.difficulties]
        audio = np.array([i for i in allowed if is_audio_row(samples[i])], np.int64)
        plain = np.array([i for i in allowed if not is_audio_row(samples[i])], np.int64)
        for rows, share, kind in ((audio, stage.audio_ratio, "audio"),
                                  (plain, 1 - stage.audio_ratio, "vision-language")):  # fmt: skip
            if share > 0 and len(rows) == 0:
                raise ConfigError(
                    f"stage {stage.name!r} draws {share:.0%} {kind} rows, and there are none of "
                    f"difficulty {', '.join(stage.difficulties)}",
                    key=f"curriculum.stages.{stage.name}",
                    hint="change audio_ratio or difficulties, or add such data",
                )
        name = zlib.crc32(stage.name.encode())
        self._audio = _Pool(audio, (seed, name, 1))
        self._plain = _Pool(plain, (seed, name, 2))
        self._rows = len(allowed)

    def __len__(self) -> int:
        """Batches of an epoch: as many rows as the stage's difficulties have."""
        return -(-self._rows // self.batch_size)

    def _audio_before(self, index: int) -> int:
        """Audio rows in all batches before `index`: the ratio times rows, to the nearest row."""
        # 1e-9 keeps 0.3 * 50 (15.000000000000002 or 14.99...) on its whole number.
        return int(np.floor(self.stage.audio_ratio * self.batch_size * index + 0.5 + 1e-9))

    def batch(self, index: int) -> Indices:
        """Row numbers of batch `index`, counted from the start of the stage.

        Returns:
            (batch_size // world_size,) positions in `samples`: this process's part.
        """
        first, last = self._audio_before(index), self._audio_before(index + 1)
        total = index * self.batch_size
        rows = np.concatenate(
            (
                self._audio.take(first, last),
                self._plain.take(total - first, total + self.batch_size - last),
            )
        )
        key = (self.seed, zlib.crc32(self.stage.name.encode()), 3, index)
        shuffled = np.random.default_rng(key).permutation(rows)
        return shuffled[self.rank :: self.world_size]

    def epoch(self, number: int, start: int = 0) -> Iterator[Indices]:
        """Batches of epoch `number`, from its batch `start` on."""
        for index in range(number * len(self) + start, (number + 1) * len(self)):
            yield self.batch(index)
