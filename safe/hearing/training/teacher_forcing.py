"""Evaluation by teacher forcing: correctness of answers, and divergence from the base.

Greedy decoding gives an answer if and only if each of its tokens is the most likely one after the
previous tokens. One forward pass therefore tells whether an example is answered correctly. If an
answer has several tokenizations, only the tokenizer's own one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safe.hearing.evaluation.retention import answer_kl
from safe.hearing.models.gating import Tokens
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example
from safe.hearing.training.teacher import Teacher


@dataclass(frozen=True, slots=True)
class ForcedAnswer:
    """Result of one example.

    Attributes:
        right: greedy decoding gives the example's answer.
        base_right: the same for the base; None without a teacher.
        drift: KL(base || SAFE) in nats per answer token; NaN without a teacher.
    """

    right: bool
    base_right: bool | None = None
    drift: float = float("nan")


@torch.no_grad()
def teacher_forced(
    feeder: Feeder,
    rows: Sequence[Example],
    teacher: Teacher | None = None,
    *,
    tokens: int | None = None,
) -> list[ForcedAnswer]:
    """Evaluate examples with the gate ON; results are in their order.

    Args:
        teacher: call `Teacher.ensure` with the examples first.
        tokens: number of audio tokens; None uses all.
    """
    found = []
    for batch in batches(rows):
        inputs = feeder.scoring(batch)
        if tokens is not None:
            inputs["gate"] = Tokens((tokens,) * len(batch))
        mask = inputs["answer_mask"].bool()
        student = feeder.model.answer_logits(**inputs).float()  # (B, T, V)
        right = _right(student, inputs["answer_ids"], mask)
        if teacher is None:
            found += [ForcedAnswer(r) for r in right]
            continue
        base = torch.zeros_like(student)
        base[mask] = teacher.logits(batch).float()  # same order as mask indexing
        _, drift = answer_kl(base.cpu().numpy(), student.cpu().numpy(), mask.cpu().numpy())
        by_base = _right(base, inputs["answer_ids"], mask)
        found += [
            ForcedAnswer(r, b, float(d)) for r, b, d in zip(right, by_base, drift, strict=True)
        ]
    return found


def _right(logits_BTV: Tensor, wanted_BT: Tensor, mask_BT: Tensor) -> list[bool]:
    found: list[bool] = ((logits_BTV.argmax(-1) == wanted_BT) | ~mask_BT).all(dim=1).tolist()
    return found
