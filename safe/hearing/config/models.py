"""The frozen models and the adapter."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class BaseConfig(Strict):
    """The frozen vision-language model and the frozen audio encoder.

    `miniature` names one of the released miniatures; otherwise `vlm` and `audio_encoder` are
    folders or hub ids opened by `from_pretrained` at the given revision.
    """

    renamed = MappingProxyType({"ear": "audio_encoder", "ear_revision": "audio_encoder_revision"})

    miniature: Literal["world", "digits"] | None = None
    """`world` or `digits`: a miniature released with SAFE, verified against its card."""

    vlm: str | None = None
    """Or the folder or hub id of a BLIP-2."""

    vlm_revision: str | None = None
    """Its revision (commit id), for a run that can be repeated."""

    audio_encoder: str | None = None
    """The folder or hub id of a CLAP."""

    audio_encoder_revision: str | None = None
    """Its revision."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the frozen weights."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, dict) and {"train", "seed"} & values.keys():
            raise ValueError(
                "`train` and `seed` were removed: `miniature: world` loads the released weights, "
                "`make miniature` trains them"
            )
        return values

    @model_validator(mode="after")
    def _either_miniature_or_named(self) -> BaseConfig:
        if (self.miniature is None) == (self.vlm is None or self.audio_encoder is None):
            raise ValueError("give either `miniature`, or both `vlm` and `audio_encoder`")
        return self


class LoraConfig(Strict):
    rank: Positive = 8
    """Rank of the update."""

    alpha: Positive = 16
    """Scale of the update; it is multiplied by alpha / rank."""

    dropout: Fraction = 0.0
    """Dropout of its input."""

    targets: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)
    """Attention projections of the language model that it adapts."""


class AdapterConfig(Strict):
    """The trainable part."""

    projector: Literal["mlp", "resampler"] = "mlp"
    """`mlp`, from CLAP's embedding, or `resampler`, over its sequence features."""

    audio_tokens: int = Field(default=4, ge=1, le=64)
    """Tokens that a sound becomes."""

    hidden: Positive = 640
    """Width between the projector's two linear layers."""

    lora: LoraConfig = LoraConfig()
    """The low-rank update of the language model."""
