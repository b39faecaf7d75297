"""Rows as arguments of SafeModel, from cached features: to train on, to score, to answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safe.hearing.models.gating import GateLike
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features

EVALUATE = 64  # rows of an evaluation batch


@dataclass(frozen=True)
class Feeder:
    """A SafeModel, and how rows are put into batches for it.

    The rows' media must have been handed to `features.ensure` before.
    """

    model: SafeModel
    features: Features
    encoder: TextEncoder

    def inputs(self, rows: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `SafeModel.generate` for rows that consult, from cached features."""
        arrays: dict[str, Tensor] = {
            **self.encoder.prompts(rows),
            "image_tokens": self.features.image([r.sample for r in rows]),
            "audio": self.features.audio([r.heard for r in rows]),
        }
        return {"gate": True, **{n: v.to(self.model.device) for n, v in arrays.items()}}

    def scoring(self, rows: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `SafeModel.score` and `answer_logits` for rows that consult."""
        answers = {n: v.to(self.model.device) for n, v in self.encoder.answers(rows).items()}
        return {**self.inputs(rows), **answers}

    def plain(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        """What a plain call of the base takes, from the pictures themselves."""
        pixels = self.features.pixels([r.sample for r in rows])
        inputs = {**self.encoder.prompts(rows), "pixel_values": pixels}
        return {n: v.to(self.model.device) for n, v in inputs.items()}

    @torch.no_grad()
    def losses(self, rows: Sequence[Example]) -> list[float]:
        """Nats per row, summed over its answer tokens, in the rows' order; gate ON."""
        return [
            -float(total)
            for batch in batches(rows)
            for total in self.model.score(**self.scoring(batch)).sum(dim=1)
        ]

    def answers(self, rows: Sequence[Example]) -> list[str]:
        """Greedy answers of rows that consult."""
        return self._answer(rows, self.inputs)

    def base_answers(self, rows: Sequence[Example], gate: GateLike = False) -> list[str]:
        """Greedy answers with the gate OFF, from pictures, as the base gives them."""
        return self._answer(rows, lambda batch: {**self.plain(batch), "gate": gate})

    def _answer(self, rows: Sequence[Example], make: Any) -> list[str]:
        longest = max((len(r.answer) for r in rows), default=1)
        found: list[str] = []
        for batch in batches(rows):
            inputs = make(batch)
            done = self.model.generate(**inputs, max_new_tokens=longest, do_sample=False)
            found += self.encoder.decode(done.sequences, inputs["input_ids"].shape[1])
        return found


def batches(rows: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """Rows in order, `EVALUATE` at a time."""
    for start in range(0, len(rows), EVALUATE):
        yield rows[start : start + EVALUATE]
