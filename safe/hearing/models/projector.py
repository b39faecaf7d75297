"""Projectors: map features of the audio encoder to k tokens in the language model's input space.

Shape legend: B examples, k audio tokens, d width of the language model, E width of the audio
encoder's embedding, S x C the audio encoder's sequence features.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from safe.errors import ModelError
from safe.hearing.config import AdapterConfig

InputKind = Literal["embedding", "sequence"]


def embedding_norm(embeddings: nn.Embedding) -> float:
    """Return the mean L2 norm of token embeddings, without the padding token and zero vectors."""
    with torch.no_grad():
        norms = embeddings.weight.detach().float().norm(dim=-1)
        if embeddings.padding_idx is not None:
            norms = norms[torch.arange(len(norms), device=norms.device) != embeddings.padding_idx]
    return float(norms[norms > 0].mean())


class Projector(nn.Module):
    """Base class with the number of tokens, the output scale and its calibration.

    `output_scale` is a saved buffer and not a parameter, so that the scale of the trained weights
    does not depend on the norm of the base's embeddings.
    """

    input_kind: InputKind
    output_scale: Tensor

    def __init__(self, audio_tokens: int, width: int) -> None:
        super().__init__()
        self.audio_tokens, self.width = audio_tokens, width
        self.register_buffer("output_scale", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, target_norm: float, probe: Tensor) -> None:
        """Set the output scale so that the mean norm of `probe`'s tokens is `target_norm`."""
        self.output_scale.fill_(1.0)
        self.output_scale.fill_(target_norm / float(self(probe).norm(dim=-1).mean()))


class MlpProjector(Projector):
    """LayerNorm, Linear, GELU, Linear: (B, E) to (B, k, d)."""

    input_kind: InputKind = "embedding"

    def __init__(self, features: int, hidden: int, audio_tokens: int, width: int) -> None:
        super().__init__(audio_tokens, width)
        self.norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, hidden)
        self.act = nn.GELU()
        self.down = nn.Linear(hidden, audio_tokens * width)

    def forward(self, embedding_BE: Tensor) -> Tensor:
        """Map (B, E) to (B, k, d)."""
        tokens = self.down(self.act(self.up(self.norm(embedding_BE))))
        return tokens.unflatten(-1, (self.audio_tokens, self.width)) * self.output_scale


class ResamplerProjector(Projector):
    """One cross-attention of k learned queries to sequence features: (B, S, C) to (B, k, d)."""

    input_kind: InputKind = "sequence"

    def __init__(
        self, features: int, hidden: int, audio_tokens: int, width: int, heads: int = 4
    ) -> None:
        super().__init__(audio_tokens, width)
        if hidden % heads:
            raise ModelError(
                f"the hidden width {hidden} is not divisible by the resampler's {heads} heads",
                key="adapter.hidden",
                hint=f"choose a multiple of {heads}",
            )
        self.norm = nn.LayerNorm(features)
        self.up = nn.Linear(features, hidden)
        self.queries = nn.Parameter(torch.randn(audio_tokens, hidden) * hidden**-0.5)
        self.attention = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.feed = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )
        self.down = nn.Linear(hidden, width)

    def forward(self, sequence_BSC: Tensor) -> Tensor:
        """Map (B, S, C) to (B, k, d)."""
        keys = self.up(self.norm(sequence_BSC))
        queries = self.queries.expand(len(keys), -1, -1)
        attended, _ = self.attention(queries, keys, keys, need_weights=False)
        tokens = queries + attended
        return self.down(tokens + self.feed(tokens)) * self.output_scale


def build_projector(
    config: AdapterConfig, *, embedding_width: int, sequence_width: int, width: int
) -> Projector:
    """Build a projector on the default device; it is not calibrated yet.

    Args:
        embedding_width, sequence_width: E and C of the audio encoder.
        width: d, input width of the language model.
    """
    if config.projector == "mlp":
        return MlpProjector(embedding_width, config.hidden, config.audio_tokens, width)
    return ResamplerProjector(sequence_width, config.hidden, config.audio_tokens, width)


def calibrate_projector(projector: Projector, table: nn.Embedding, *, seed: int) -> float:
    """Scale a new projector to the mean norm of the base's token embeddings.

    The probe is standard normal; the first layer is a LayerNorm, so its scale does not matter.

    Returns:
        The target norm.
    """
    target = embedding_norm(table)
    norm = projector.norm
    assert isinstance(norm, nn.LayerNorm)
    generator = torch.Generator().manual_seed(seed)
    shape = (256, *([16] if projector.input_kind == "sequence" else []), *norm.normalized_shape)
    probe = torch.randn(shape, generator=generator).to(norm.weight.device, norm.weight.dtype)
    projector.calibrate(target, probe)
    return target
