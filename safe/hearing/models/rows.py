"""Rows of a batch: parted by the gate, and put together again in their order.

Shape legend: B rows, L prompt positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from safe.errors import ModelError
from safe.hearing.models.audio import Audio

# Keyword arguments of the base that hold one entry a row.
BATCHED = ("labels", "decoder_input_ids", "decoder_attention_mask")


@dataclass(frozen=True, slots=True)
class Consultation:
    """The one decision a call was made under.

    Attributes:
        on, off: row numbers, each in the batch's order.
        tokens: audio tokens that each row of `on` hears.
        turned_off: row number to reason, for rows that the gate had ON and whose audio could not
            be consulted (`on_bad_audio="off"`).
    """

    on: list[int]
    off: list[int]
    tokens: list[int]
    turned_off: dict[int, str] = field(default_factory=dict)

    def mask(self) -> list[bool]:
        """One bool a row: True where it consults."""
        return [count > 0 for count in self.counts()]

    def counts(self) -> list[int]:
        """Audio tokens of every row; 0 where it does not consult."""
        heard = dict(zip(self.on, self.tokens, strict=True))
        return [heard.get(row, 0) for row in range(len(self.on) + len(self.off))]

    def by_tokens(self) -> list[tuple[int, list[int]]]:
        """(audio tokens, rows that hear so many), the fewest tokens first."""
        found: dict[int, list[int]] = {}
        for row, count in zip(self.on, self.tokens, strict=True):
            found.setdefault(count, []).append(row)
        return sorted(found.items())


@dataclass(frozen=True, slots=True)
class SafeOutput:
    """Forward's result.

    Attributes:
        logits: (B, L, V). Row b, position t belongs to `input_ids[b, t]` whether the row consulted
            or not: audio positions are left out.
        loss: mean cross-entropy over `labels`, or None without them.
        consultation: which rows consulted.
        base: the base's own output object where every row was OFF, else None.
    """

    logits: Tensor
    loss: Tensor | None
    consultation: Consultation
    base: Any = None


@dataclass(frozen=True, slots=True)
class SafeGeneration:
    """Generate's result.

    Attributes:
        sequences: token ids as the base returns them: prompt and new tokens for a decoder-only
            language model. In a mixed batch shorter rows end in pad tokens.
        consultation: which rows consulted.
    """

    sequences: Tensor
    consultation: Consultation


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs that both ways share."""

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
    """The arguments of a plain call: what the caller gave, nothing made up."""
    if batch.pixel_values is None:
        raise ModelError(
            "rows that are OFF need `pixel_values`", hint="pass the processor's output"
        )
    plain = {"pixel_values": batch.pixel_values, "input_ids": batch.input_ids}
    if batch.attention_mask is not None:
        plain["attention_mask"] = batch.attention_mask
    return plain


def _take(value: Tensor | None, rows: list[int]) -> Tensor | None:
    return None if value is None else value[rows]


def take_rows(batch: Batch, rows: list[int]) -> Batch:
    """The OFF rows alone; they need neither audio nor cached image tokens."""
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
    """Put the parts' rows back in the batch's order; shorter rows are filled on the right."""
    length = max(part.shape[1] for _, part in parts)
    first = parts[0][1]
    joined = first.new_full((rows, length, *first.shape[2:]), fill)
    for where, part in parts:
        joined[where, : part.shape[1]] = part.to(joined.dtype)
    return joined
