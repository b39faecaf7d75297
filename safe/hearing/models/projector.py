"""The projector: what the frozen audio encoder heard, as k tokens of the language model's input
space.

Shape legend: B rows, k audio tokens, d width of the language model, E width of the audio encoder's
embedding, S x C the audio encoder's sequence features.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from safe.errors import ModelError
from safe.hearing.config import AdapterConfig

InputKind = Literal["embedding", "sequence"]


def embedding_norm(embeddings: nn.Embedding) -> float:
    """Mean L2 norm of the rows of a token embedding table, its padding row left out."""
    with torch.no_grad():
        norms = embeddings.weight.detach().float().norm(dim=-1)
        if embeddings.padding_idx is not None:
            norms = norms[torch.arange(len(norms), device=norms.device) != embeddings.padding_idx]
    return float(norms[norms > 0].mean())


class Projector(nn.Module):
    """Common to both kinds: the number of tokens, the output scale and its calibration.

    `output_scale` is a saved buffer, not a parameter: AdamW then works on weights of their usual
    size whatever the norm of the base's embeddings.
    """

    input_kind: InputKind
    output_scale: Tensor

    def __init__(self, audio_tokens: int, width: int) -> None:
        super().__init__()
        self.audio_tokens, self.width = audio_tokens, width
        self.register_buffer("output_scale", torch.ones(()))

    @torch.no_grad()
    def calibrate(self, target_norm: float, probe: Tensor) -> None:
        """Set the output scale so that audio tokens of `probe` have `target_norm` on average."""
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
        """(B, E) to (B, k, d)."""
        tokens = self.down(self.act(self.up(self.norm(embedding_BE))))
        return tokens.unflatten(-1, (self.audio_tokens, self.width)) * self.output_scale


class ResamplerProjector(Projector):
    """k learned queries attend once over the audio encoder's sequence features: (B, S, C) to (B, k,
    d).
    """

    input_kind: InputKind = "sequence"

    def __init__(
        self, features: int, hidden: int, audio_tokens: int, width: int, heads: int = 4
    ) -> None:
        super().__init__(audio_tokens, width)
        if hidden % heads:
            raise ModelError(
                f"a resampler of {heads} heads cannot have the hidden width {hidden}",
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
        """(B, S, C) to (B, k, d)."""
        keys = self.up(self.norm(sequence_BSC))
        queries = self.queries.expand(len(keys), -1, -1)
        heard, _ = self.attention(queries, keys, keys, need_weights=False)
        tokens = queries + heard
        return self.down(tokens + self.feed(tokens)) * self.output_scale


def build_projector(
    config: AdapterConfig, *, embedding_width: int, sequence_width: int, width: int
) -> Projector:
    """A projector on the current default device, not yet calibrated.

    Args:
        embedding_width, sequence_width: E and C of the audio encoder.
        width: d, the language model's input width.
    """
    if config.projector == "mlp":
        return MlpProjector(embedding_width, config.hidden, config.audio_tokens, width)
    return ResamplerProjector(sequence_width, config.hidden, config.audio_tokens, width)


def calibrate_projector(projector: Projector, table: nn.Embedding, *, seed: int) -> float:
    """Scale a fresh projector to the measured norm of the base's token embeddings.

    The probe is standard normal: a LayerNorm comes first, so only its direction matters.

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
