"""Insert image and audio tokens into the language model's input.

Shape legend: B examples, L prompt positions, q image tokens, k audio tokens, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safe.errors import ModelError


def image_tokens(base: Any, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
    """Compute (B, q, d) image tokens by vision tower, Q-Former and projection, as BLIP-2 does.

    Args:
        base: a `Blip2ForConditionalGeneration`.
        pixel_values: (B, channels, height, width).
    """
    patches = base.vision_model(
        pixel_values=pixel_values,
        interpolate_pos_encoding=interpolate_pos_encoding,
        return_dict=True,
    ).last_hidden_state
    queries = base.qformer(
        query_embeds=base.query_tokens.expand(len(patches), -1, -1),
        encoder_hidden_states=patches,
        encoder_attention_mask=torch.ones(
            patches.shape[:-1], dtype=torch.long, device=patches.device
        ),
        return_dict=True,
    ).last_hidden_state
    return project(base, queries, patches.dtype)


def project(base: Any, queries: Tensor, dtype: torch.dtype) -> Tensor:
    """Project the Q-Former's output (B, q, ·) to the language model's input space, (B, q, d).

    Args:
        dtype: dtype of the vision tower; the Q-Former may run in float32.
    """
    tokens: Tensor = base.language_projection(queries.to(dtype))
    return tokens


@dataclass(frozen=True, slots=True)
class Fused:
    """Input of the language model for examples with the gate ON.

    Attributes:
        embeds: (B, L + k, d).
        mask: (B, L + k).
        ids: (B, L + k), with the image placeholder at the audio positions.
        text_positions: (B, L), index of each prompt position in the new sequence.
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
    """Replace the image placeholders by image tokens and insert the audio tokens after them.

    Args:
        input_ids, attention_mask: (B, L); every example has q placeholders.
        embeds: (B, L, d), embedded `input_ids`.
        image: (B, q, d).
        audio: (B, k, d).

    Raises:
        ModelError: the number of placeholders of an example differs from q.
    """
    is_image = input_ids == image_token
    counts = is_image.sum(dim=1)
    if not bool((counts == image.shape[1]).all()):
        raise ModelError(
            f"prompts have {sorted(set(counts.tolist()))} image placeholders for {image.shape[1]} "
            "image tokens",
            hint="make prompts with the processor that was saved with the base",
        )
    B, L = input_ids.shape
    k = audio.shape[1]
    image, audio = image.to(embeds.dtype), audio.to(embeds.dtype)
    embeds = embeds.masked_scatter(is_image.unsqueeze(-1), image)

    steps = torch.arange(L, device=input_ids.device)
    end = ((steps + 1) * is_image).amax(dim=1, keepdim=True)  # (B, 1), position after the image
    steps = torch.arange(L + k, device=input_ids.device).expand(B, -1)
    order = torch.where(
        steps < end, steps, torch.where(steps < end + k, L + steps - end, steps - k)
    )
    text = torch.arange(L, device=input_ids.device).expand(B, -1)
    return Fused(
        embeds=torch.cat([embeds, audio], dim=1).gather(
            1, order.unsqueeze(-1).expand(-1, -1, embeds.shape[-1])
        ),
        mask=torch.cat([attention_mask, attention_mask.new_ones(B, k)], dim=1).gather(1, order),
        ids=torch.cat([input_ids, input_ids.new_full((B, k), image_token)], dim=1).gather(1, order),
        text_positions=torch.where(text < end, text, text + k),
    )
