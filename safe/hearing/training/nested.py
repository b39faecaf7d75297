"""Stage A for an adapter that is heard with few or many audio tokens, as a gate decides later.

The first tokens have to serve alone, as in Matryoshka representations (Kusupati et al. 2022,
arXiv:2205.13147): each step draws how many of them are heard.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safe.digest import digest_json
from safe.hearing.config import StageAConfig
from safe.hearing.models.gating import Tokens
from safe.hearing.training.batching import Feeder
from safe.hearing.training.stage_a import StageA, StageARows
from safe.hearing.training.teacher import Teacher
from safe.hearing.training.trainer import TrainingBatch


class NestedStageA(StageA):
    """Stage A in which the rows of a step hear the first so many audio tokens.

    Args:
        lengths: numbers of audio tokens, one of which is drawn for each step.
    """

    def __init__(
        self,
        feeder: Feeder,
        rows: StageARows,
        teacher: Teacher,
        settings: StageAConfig,
        seed: int,
        *,
        lengths: Sequence[int],
    ) -> None:
        super().__init__(feeder, rows, teacher, settings, seed)
        self.heard_lengths = tuple(lengths)

    def length(self, step: int) -> int:
        """Audio tokens that all rows of a step hear: of seed and step alone."""
        rng = np.random.default_rng([self.seed, 14, step])
        return int(rng.choice(self.heard_lengths))

    def make(self, numbers: list[int], whole: list[int], step: int) -> TrainingBatch:
        """The micro-batch of the given rows, all at the step's length."""
        batch = super().make(numbers, whole, step)
        batch.inputs["gate"] = Tokens((self.length(step),) * len(numbers))
        return batch

    def fingerprint(self) -> str:
        """Digest of all that decides how training ends."""
        return digest_json([super().fingerprint(), list(self.heard_lengths)])
