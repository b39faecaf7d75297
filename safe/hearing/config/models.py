"""The frozen models, and what is trained beside them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class BaseConfig(Strict):
    """The frozen vision-language model and the frozen ear.

    `miniature` names one of the released miniatures; otherwise `vlm` and `ear` are folders or hub
    ids opened by `from_pretrained` at the given revision.
    """

    miniature: Literal["world", "digits"] | None = None
    vlm: str | None = None
    vlm_revision: str | None = None
    ear: str | None = None
    ear_revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, dict) and {"train", "seed"} & values.keys():
            raise ValueError(
                "`train` and `seed` are gone: `miniature: world` opens the released weights, "
                "`make miniature` trains them"
            )
        return values

    @model_validator(mode="after")
    def _either_miniature_or_named(self) -> BaseConfig:
        if (self.miniature is None) == (self.vlm is None or self.ear is None):
            raise ValueError("give either `miniature`, or both `vlm` and `ear`")
        return self


class LoraConfig(Strict):
    rank: Positive = 8
    alpha: Positive = 16
    dropout: Fraction = 0.0
    targets: list[str] = Field(default=["q_proj", "v_proj"], min_length=1)


class AdapterConfig(Strict):
    """The trainable part."""

    projector: Literal["mlp", "resampler"] = "mlp"
    audio_tokens: int = Field(default=4, ge=1, le=64)
    hidden: Positive = 640  # width between the projector's two linear layers
    lora: LoraConfig = LoraConfig()
