"""Batches for a curriculum stage, with the configured audio ratio and difficulties in every batch.

Batch `i` is a pure function of (samples, stage, batch size, seed, i). All processes draw the same
batches, and resuming needs only the index of the batch.
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
    """Return whether the answer needs the sound: true for every task except `vl`."""
    return sample.task != "vl"


class _Pool:
    """An endless sequence of passes over all rows, each pass reshuffled."""

    def __init__(self, rows: Indices, key: Sequence[int]) -> None:
        self.rows = rows
        self._pass = lru_cache(maxsize=2)(
            lambda number: np.random.default_rng([*key, number]).permutation(rows)
        )

    def take(self, first: int, last: int) -> Indices:
        """Return elements `first` to `last` (exclusive) of the sequence."""
        size = len(self.rows)
        parts = [
            self._pass(number)[max(first - number * size, 0) : last - number * size]
            for number in range(first // size, -(-last // size))
        ]
        return np.concatenate(parts) if parts else self.rows[:0]


class StageSampler:
    """Sampler of the batches of one stage.

    Each batch has `audio_ratio * batch_size` audio examples. If that is not an integer, it is
    rounded down or up so that the total over the first n batches is never off by more than 0.5.

    Args:
        samples: samples to draw from.
        stage: ratio and difficulties.
        batch_size: batch size over all processes.
        seed: the run's seed.
        rank, world_size: index and number of processes; each gets its own part of every batch.

    Raises:
        ConfigError: there are no samples of a kind that the stage needs, or `batch_size` is not
            divisible by `world_size`.
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
                f"a batch of {batch_size} cannot be divided among {world_size} processes",
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
                    f"stage {stage.name!r} needs {share:.0%} {kind} examples, but there are none "
                    f"of difficulty {', '.join(stage.difficulties)}",
                    key=f"curriculum.stages.{stage.name}",
                    hint="change audio_ratio or difficulties, or add such data",
                )
        name = zlib.crc32(stage.name.encode())
        self._audio = _Pool(audio, (seed, name, 1))
        self._plain = _Pool(plain, (seed, name, 2))
        self._rows = len(allowed)

    def __len__(self) -> int:
        """Number of batches per epoch: samples of the stage's difficulties over batch size."""
        return -(-self._rows // self.batch_size)

    def _audio_before(self, index: int) -> int:
        """Number of audio examples in all batches before `index`, rounded to the nearest."""
        # 1e-9 compensates for rounding errors such as 14.99... for 0.3 * 50.
        return int(np.floor(self.stage.audio_ratio * self.batch_size * index + 0.5 + 1e-9))

    def batch(self, index: int) -> Indices:
        """Return this process's part of batch `index`, counted from the start of the stage.

        Returns:
            (batch_size // world_size,) indices into `samples`.
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
        """Yield the batches of epoch `number`, starting at its batch `start`."""
        for index in range(number * len(self) + start, (number + 1) * len(self)):
            yield self.batch(index)
