"""Inputs of a gate that come from the base: its first-token logits and the embedded question.

Shape legend: B examples, L prompt positions, q image tokens, V vocabulary, d width.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from safe.errors import ModelError
from safe.hearing.models.fusion import project
from safe.hearing.models.gating import BaseOutputs
from safe.hearing.models.rows import Batch, plain_arguments


@torch.no_grad()
def run_base(base: Any, batch: Batch, *, interpolate: bool = False) -> BaseOutputs:
    """Run one forward pass of the base; return logits of the first answer token and image tokens.

    Args:
        base: a `Blip2ForConditionalGeneration`.
        interpolate: interpolate the position encodings of the image.

    Raises:
        ModelError: prompts are padded on the right; the last position must be a prompt token.
    """
    options: dict[str, Any] = {"interpolate_pos_encoding": True} if interpolate else {}
    if not base.config.use_decoder_only_language_model:
        start = base.config.text_config.decoder_start_token_id
        options["decoder_input_ids"] = batch.input_ids.new_full((len(batch), 1), start)
    elif batch.attention_mask is not None and not bool((batch.attention_mask[:, -1]).all()):
        raise ModelError(
            "prompts are padded on the right; the gate reads logits at the last position",
            hint="set the tokenizer's padding_side to 'left'",
        )
    if "logits_to_keep" in inspect.signature(base.language_model.forward).parameters:
        options["logits_to_keep"] = 1  # as `generate` computes the first answer token
    outputs = base(**plain_arguments(batch), **options)
    image = project(
        base,
        outputs.qformer_outputs.last_hidden_state,
        outputs.vision_outputs.last_hidden_state.dtype,
    )
    return BaseOutputs(outputs.logits[:, -1], image)


@torch.no_grad()
def read_question(base: Any, batch: Batch) -> Tensor:
    """Return (B, d): mean of the prompt's token embeddings without placeholders and padding."""
    words = batch.input_ids != base.config.image_token_index
    if batch.attention_mask is not None:
        words &= batch.attention_mask.bool()
    share = (words / words.sum(dim=1, keepdim=True).clamp_min(1)).unsqueeze(1)
    embedded = base.get_input_embeddings()(batch.input_ids)
    question: Tensor = (share.to(embedded.dtype) @ embedded).squeeze(1)
    return question
