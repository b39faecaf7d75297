"""What a gate may see of the untouched base, before anything is heard.

Shape legend: B rows, L prompt positions, q image tokens, V vocabulary, d width.
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
    """Logits of the first answer token, and image tokens, of one forward.

    Args:
        base: a `Blip2ForConditionalGeneration`.
        interpolate: of the picture's position encodings.

    Raises:
        ModelError: prompts padded on the right, where there is no last position to look at.
    """
    options: dict[str, Any] = {"interpolate_pos_encoding": True} if interpolate else {}
    if not base.config.use_decoder_only_language_model:
        start = base.config.text_config.decoder_start_token_id
        options["decoder_input_ids"] = batch.input_ids.new_full((len(batch), 1), start)
    elif batch.attention_mask is not None and not bool((batch.attention_mask[:, -1]).all()):
        raise ModelError(
            "prompts are padded on the right, where a gate looks for the answer",
            hint="set the tokenizer's padding_side to 'left'",
        )
    if "logits_to_keep" in inspect.signature(base.language_model.forward).parameters:
        options["logits_to_keep"] = 1  # as `generate` computes the first answer token
    seen = base(**plain_arguments(batch), **options)
    image = project(
        base,
        seen.qformer_outputs.last_hidden_state,
        seen.vision_outputs.last_hidden_state.dtype,
    )
    return BaseOutputs(seen.logits[:, -1], image)


@torch.no_grad()
def read_question(base: Any, batch: Batch) -> Tensor:
    """(B, d): mean of the embedded words, without image placeholders and padding."""
    words = batch.input_ids != base.config.image_token_index
    if batch.attention_mask is not None:
        words &= batch.attention_mask.bool()
    share = (words / words.sum(dim=1, keepdim=True).clamp_min(1)).unsqueeze(1)
    embedded = base.get_input_embeddings()(batch.input_ids)
    question: Tensor = (share.to(embedded.dtype) @ embedded).squeeze(1)
    return question
