"""Digests of a model's outputs with the gate OFF, to compare them bit for bit later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safe.hearing.models.safe_model import SafeModel
from safe.hearing.models.weights import tensor_digest


@dataclass(frozen=True, slots=True)
class OffAnswer:
    """Digests of the logits and generated tokens of one example with the gate OFF."""

    id: str
    logits: str
    tokens: str


def _tokens_digest(sequence: Tensor) -> str:
    return hashlib.sha256(repr(sequence.tolist()).encode()).hexdigest()


@torch.no_grad()
def off_answers(
    model: SafeModel,
    batches: Iterable[tuple[Sequence[str], dict[str, Tensor]]],
    *,
    max_new_tokens: int,
) -> list[OffAnswer]:
    """Run forward and greedy generation with the gate OFF.

    Args:
        batches: ids and the processor's inputs. Snapshots are comparable only if the batches are
            the same.
    """
    found = []
    for ids, inputs in batches:
        logits = model(**inputs, gate=False).logits
        tokens = model.generate(
            **inputs, gate=False, max_new_tokens=max_new_tokens, do_sample=False
        ).sequences
        found += [
            OffAnswer(name, tensor_digest("logits", row), _tokens_digest(sequence))
            for name, row, sequence in zip(ids, logits, tokens, strict=True)
        ]
    return found
