"""Settings of experiment 06."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class ProfileSettings(Settings):
    """Experiment 06: what the machine must carry."""

    section = "profile"

    batch_sizes: list[Positive] = Field(default=[16, 32, 64, 128, 256], min_length=4)
    """Batch sizes measured."""

    target_batch: Positive = 64
    """Batch size that must fit into the memory."""

    memory_budget_gb: float | None = Field(default=None, gt=0)
    """Memory available; none: all that the device has."""

    audio_latency_ms: float = Field(default=50.0, gt=0)
    """Service level: median time that audio adds to a question."""

    audio_latency_p95_ms: float = Field(default=100.0, gt=0)
    """Service level: 95th percentile of that time."""

    planned_samples: Positive = 500_000
    """Samples of the planned training."""

    planned_hours: float = Field(default=24.0, gt=0)
    """Hours that it may take."""

    repeats: int = Field(default=20, ge=6)
    """Repeats of each timing; fewer than six have no 95 % interval of their median."""

    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    """Numbers of audio tokens measured."""
