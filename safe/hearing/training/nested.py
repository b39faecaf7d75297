"""Stage A for an adapter that supports a variable number of audio tokens, chosen by a gate.

Each step samples a number of tokens and uses only the first ones, as in Matryoshka representations
(Kusupati et al. 2022, arXiv:2205.13147).
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
    """Stage A with a sampled number of audio tokens per step.

    Args:
        lengths: numbers of audio tokens to sample from.
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
        """Return the number of audio tokens of a step; depends only on seed and step."""
        rng = np.random.default_rng([self.seed, 14, step])
        return int(rng.choice(self.heard_lengths))

    def make(self, numbers: list[int], whole: list[int], step: int) -> TrainingBatch:
        """Make the micro-batch of the given examples with the step's number of audio tokens."""
        batch = super().make(numbers, whole, step)
        batch.inputs["gate"] = Tokens((self.length(step),) * len(numbers))
        return batch

    def fingerprint(self) -> str:
        """Return a digest of everything that affects the result of training."""
        return digest_json([super().fingerprint(), list(self.heard_lengths)])
