"""Split a batch by the gate's decision and join the results in the original order.

Shape legend: B examples, L prompt positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from safe.errors import ModelError
from safe.hearing.models.audio import Audio

# Keyword arguments of the base with one entry per example.
BATCHED = ("labels", "decoder_input_ids", "decoder_attention_mask")


@dataclass(frozen=True, slots=True)
class Consultation:
    """Gate decision of one call.

    Attributes:
        on, off: indices of the examples with the gate ON and OFF, ascending.
        tokens: number of audio tokens of each example in `on`.
        turned_off: index -> reason, for examples that the gate had ON and whose audio could not
            be used (`on_bad_audio="off"`).
    """

    on: list[int]
    off: list[int]
    tokens: list[int]
    turned_off: dict[int, str] = field(default_factory=dict)

    def mask(self) -> list[bool]:
        """Return one bool per example: True for gate ON."""
        return [count > 0 for count in self.counts()]

    def counts(self) -> list[int]:
        """Return the number of audio tokens of every example; 0 for gate OFF."""
        tokens = dict(zip(self.on, self.tokens, strict=True))
        return [tokens.get(row, 0) for row in range(len(self.on) + len(self.off))]

    def by_tokens(self) -> list[tuple[int, list[int]]]:
        """Group `on` by number of audio tokens: (number, indices), ascending."""
        found: dict[int, list[int]] = {}
        for row, count in zip(self.on, self.tokens, strict=True):
            found.setdefault(count, []).append(row)
        return sorted(found.items())


@dataclass(frozen=True, slots=True)
class SafeOutput:
    """Result of `SafeModel.forward`.

    Attributes:
        logits: (B, L, V). `logits[b, t]` belongs to `input_ids[b, t]`, with the gate ON as well:
            audio positions are removed.
        loss: mean cross-entropy over `labels`, or None without labels.
        consultation: the gate's decision.
        base: the base's output object if the gate was OFF for all examples, else None.
    """

    logits: Tensor
    loss: Tensor | None
    consultation: Consultation
    base: Any = None


@dataclass(frozen=True, slots=True)
class SafeGeneration:
    """Result of `SafeModel.generate`.

    Attributes:
        sequences: token ids as the base returns them: prompt and new tokens for a decoder-only
            language model. In a mixed batch shorter sequences are padded on the right.
        consultation: the gate's decision.
    """

    sequences: Tensor
    consultation: Consultation


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of a call, for gate ON and OFF."""

    pixel_values: Tensor | None
    input_ids: Tensor
    attention_mask: Tensor | None
    image: Tensor | None
    audio: Audio | None

    def __len__(self) -> int:
        return len(self.input_ids)


def make_batch(
    pixel_values: Tensor | None,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    image: Tensor | None,
    audio: Audio | None,
) -> Batch:
    if input_ids is None:
        raise ModelError("no `input_ids`", hint="make the prompt with the base's processor")
    return Batch(pixel_values, input_ids, attention_mask, image, audio)


def plain_arguments(batch: Batch) -> dict[str, Any]:
    """Return the caller's arguments for a plain call of the base, without defaults filled in."""
    if batch.pixel_values is None:
        raise ModelError(
            "examples with the gate OFF need `pixel_values`", hint="pass the processor's output"
        )
    plain = {"pixel_values": batch.pixel_values, "input_ids": batch.input_ids}
    if batch.attention_mask is not None:
        plain["attention_mask"] = batch.attention_mask
    return plain


def _take(value: Tensor | None, rows: list[int]) -> Tensor | None:
    return None if value is None else value[rows]


def take_rows(batch: Batch, rows: list[int]) -> Batch:
    """Select OFF examples, without audio and cached image tokens, which they do not need."""
    return Batch(
        _take(batch.pixel_values, rows),
        batch.input_ids[rows],
        _take(batch.attention_mask, rows),
        None,
        None,
    )


def rows_of(kwargs: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    return {n: _take(v, rows) if n in BATCHED else v for n, v in kwargs.items()}


def join(parts: list[tuple[list[int], Tensor]], rows: int, fill: float = 0) -> Tensor:
    """Join parts in the batch's order; shorter sequences are filled on the right with `fill`."""
    length = max(part.shape[1] for _, part in parts)
    first = parts[0][1]
    joined = first.new_full((rows, length, *first.shape[2:]), fill)
    for where, part in parts:
        joined[where, : part.shape[1]] = part.to(joined.dtype)
    return joined
