"""Audio tokens beside image tokens in the language model's input.

Shape legend: B rows, L prompt positions, q image tokens, k audio tokens, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safe.errors import ModelError


def image_tokens(base: Any, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
    """(B, q, d): vision tower, Q-Former and language projection, as BLIP-2's own forward runs them.

    Args:
        base: a `Blip2ForConditionalGeneration`.
        pixel_values: (B, channels, height, width).
    """
    seen = base.vision_model(
        pixel_values=pixel_values,
        interpolate_pos_encoding=interpolate_pos_encoding,
        return_dict=True,
    ).last_hidden_state
    queries = base.qformer(
        query_embeds=base.query_tokens.expand(len(seen), -1, -1),
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device),
        return_dict=True,
    ).last_hidden_state
    return project(base, queries, seen.dtype)


def project(base: Any, queries: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, q, d): the Q-Former's output (B, q, ·) in the language model's space.

    Args:
        dtype: the vision tower's; the Q-Former may run in float32.
    """
    tokens: Tensor = base.language_projection(queries.to(dtype))
    return tokens


@dataclass(frozen=True, slots=True)
class Fused:
    """Input of the language model for rows that consult.

    Attributes:
        embeds: (B, L + k, d).
        mask: (B, L + k).
        ids: (B, L + k), with the image placeholder at the audio positions.
        text_positions: (B, L), where each prompt position went.
    """

    embeds: Tensor
    mask: Tensor
    ids: Tensor
    text_positions: Tensor


def fuse(
    *,
    input_ids: Tensor,
    attention_mask: Tensor,
    embeds: Tensor,
    image: Tensor,
    audio: Tensor,
    image_token: int,
) -> Fused:
    """Put the image tokens at their placeholders and the audio tokens right behind them.

    Args:
        input_ids, attention_mask: (B, L); every row holds q placeholders.
        embeds: (B, L, d), embedded `input_ids`.
        image: (B, q, d).
        audio: (B, k, d).

    Raises:
        ModelError: a row has another number of placeholders than image tokens.
    """
    here = input_ids == image_token
    counts = here.sum(dim=1)
    if not bool((counts == image.shape[1]).all()):
        raise ModelError(
            f"rows with {sorted(set(counts.tolist()))} image placeholders for {image.shape[1]} "
            "image tokens",
            hint="make the prompt with the processor that was saved with the base",
        )
    B, L = input_ids.shape
    k = audio.shape[1]
    image, audio = image.to(embeds.dtype), audio.to(embeds.dtype)
    embeds = embeds.masked_scatter(here.unsqueeze(-1), image)

    steps = torch.arange(L, device=input_ids.device)
    behind = ((steps + 1) * here).amax(dim=1, keepdim=True)  # (B, 1), just after the image
    steps = torch.arange(L + k, device=input_ids.device).expand(B, -1)
    order = torch.where(
        steps < behind, steps, torch.where(steps < behind + k, L + steps - behind, steps - k)
    )
    text = torch.arange(L, device=input_ids.device).expand(B, -1)
    return Fused(
        embeds=torch.cat([embeds, audio], dim=1).gather(
            1, order.unsqueeze(-1).expand(-1, -1, embeds.shape[-1])
        ),
        mask=torch.cat([attention_mask, attention_mask.new_ones(B, k)], dim=1).gather(1, order),
        ids=torch.cat([input_ids, input_ids.new_full((B, k), image_token)], dim=1).gather(1, order),
        text_positions=torch.where(text < behind, text, text + k),
    )
