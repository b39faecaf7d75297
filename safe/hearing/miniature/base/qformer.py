"""Stage 2: the Q-Former on cached vision features; each query learns to encode one cell."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Blip2ForConditionalGeneration

from safe.hearing.miniature.base.loop import Schedule, fit
from safe.hearing.miniature.base.vision import attribute_heads, attribute_loss


def query(model: Blip2ForConditionalGeneration, seen: Tensor) -> Tensor:
    """Return the Q-Former's (B, queries, width) for vision features (B, 1 + patches, width)."""
    out: Tensor = model.qformer(
        query_embeds=model.query_tokens.expand(len(seen), -1, -1),
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long),
    ).last_hidden_state
    return out


def train_qformer(
    model: Blip2ForConditionalGeneration,
    seen: Tensor,
    cells: Tensor,
    sizes: tuple[int, ...],
    schedule: Schedule,
    *,
    seed: int,
    position: int = 0,
) -> float:
    """Train queries and Q-Former in place.

    Args:
        seen: (N, 1 + patches, width) of `vision_features`.
        cells: (N, cells, attributes); if there are fewer cells than queries, they are repeated.

    Returns:
        The final loss.
    """
    generator = torch.Generator().manual_seed(seed)
    heads = attribute_heads(model.config.qformer_config.hidden_size, sizes, seed)
    queries = model.config.num_query_tokens
    cell_of = torch.arange(queries) % cells.shape[1]

    def loss_of(index: Tensor) -> Tensor:
        return attribute_loss(heads, query(model, seen[index]), cells[index][:, cell_of])

    model.qformer.train()
    loss = fit(
        [model.query_tokens, *model.qformer.parameters(), *heads.parameters()],
        loss_of,
        len(seen),
        schedule,
        generator=generator,
        title="q-former",
        position=position,
    )
    model.qformer.eval()
    return loss


@torch.inference_mode()
def query_outputs(
    model: Blip2ForConditionalGeneration, seen: Tensor, batch_size: int = 256
) -> Tensor:
    """Return (N, queries, width), the input of the language projection."""
    return torch.cat([query(model, part) for part in seen.split(batch_size)]).clone()
