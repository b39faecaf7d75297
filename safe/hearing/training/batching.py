"""Batches of examples as arguments of SafeModel, from cached features."""

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

EVALUATE = 64  # batch size of evaluation


@dataclass(frozen=True)
class Feeder:
    """A SafeModel and the encoders of its inputs.

    Call `features.ensure` with the examples' media first.
    """

    model: SafeModel
    features: Features
    encoder: TextEncoder

    def inputs(self, rows: Sequence[Example]) -> dict[str, Any]:
        """Return arguments of `SafeModel.generate` with the gate ON, from cached features."""
        arrays: dict[str, Tensor] = {
            **self.encoder.prompts(rows),
            "image_tokens": self.features.image([r.sample for r in rows]),
            "audio": self.features.audio([r.heard for r in rows]),
        }
        return {"gate": True, **{n: v.to(self.model.device) for n, v in arrays.items()}}

    def scoring(self, rows: Sequence[Example]) -> dict[str, Any]:
        """Return arguments of `SafeModel.score` and `answer_logits` with the gate ON."""
        answers = {n: v.to(self.model.device) for n, v in self.encoder.answers(rows).items()}
        return {**self.inputs(rows), **answers}

    def plain(self, rows: Sequence[Example]) -> dict[str, Tensor]:
        """Return arguments of a plain call of the base, from the pictures."""
        pixels = self.features.pixels([r.sample for r in rows])
        inputs = {**self.encoder.prompts(rows), "pixel_values": pixels}
        return {n: v.to(self.model.device) for n, v in inputs.items()}

    @torch.no_grad()
    def losses(self, rows: Sequence[Example]) -> list[float]:
        """Return the loss of each example in nats, summed over answer tokens, with the gate ON."""
        return [
            -float(total)
            for batch in batches(rows)
            for total in self.model.score(**self.scoring(batch)).sum(dim=1)
        ]

    def answers(self, rows: Sequence[Example]) -> list[str]:
        """Generate greedy answers with the gate ON."""
        return self._answer(rows, self.inputs)

    def base_answers(self, rows: Sequence[Example], gate: GateLike = False) -> list[str]:
        """Generate greedy answers from the pictures; by default with the gate OFF."""
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
    """Yield the examples in order, `EVALUATE` at a time."""
    for start in range(0, len(rows), EVALUATE):
        yield rows[start : start + EVALUATE]
