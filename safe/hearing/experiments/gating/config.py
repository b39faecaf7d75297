"""Settings of experiment 05."""

from __future__ import annotations

from types import MappingProxyType

from pydantic import Field

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class GatingSettings(Settings):
    """Experiment 05."""

    section = "gating"

    moved = MappingProxyType(
        {
            "max_audio_drop": "the selection `gate` of the criteria, 05_gating.yaml",
        }
    )

    points: int = Field(default=25, ge=5)
    """Thresholds tried of each policy."""

    items: Positive | None = None
    """Questions of each task and split, at most; none: all."""

    timed_items: Positive = 80
    """Questions answered one at a time."""

    timing_repeats: Positive = 5
    """Times that each is answered. With five policies in turn, each takes each place once."""
