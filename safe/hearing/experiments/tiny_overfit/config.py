"""Settings of experiment 03."""

from __future__ import annotations

from pydantic import Field

from safe.hearing.config.basis import Fraction, Positive
from safe.pipeline.config import Settings


class TinyOverfitSettings(Settings):
    """Experiment 03."""

    section = "tiny_overfit"

    rows: int = Field(default=512, ge=8)
    """Examples to learn by heart."""

    audio_fraction: Fraction = 0.5
    """Share of them that needs sound."""

    steps: Positive = 480
    """Optimizer steps."""

    batch_size: Positive = 32
    """Examples of a batch."""

    projector_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of the projector."""

    lora_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of LoRA."""

    warmup: Fraction = 0.05
    """Share of the steps in which the rates rise."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
