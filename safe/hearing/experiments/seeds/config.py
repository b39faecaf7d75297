"""Settings of experiment 11."""

from __future__ import annotations

from pydantic import Field

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class SeedsSettings(Settings):
    """Experiment 11: the combination that 10 took, trained again with other seeds."""

    section = "seeds"

    count: int = Field(default=3, ge=2)
    """Seeds."""

    steps: Positive | None = None
    """Optimizer steps of each training; none: as many as `stage_a`."""

    audio_items: Positive = 3000
    """Test questions that need their sound, at most."""

    vl_items: Positive = 3000
    """Test questions about a picture alone, at most."""

    frozen_items: int = Field(default=64, ge=8)
    """Examples of each kind whose frozen outputs are compared."""
