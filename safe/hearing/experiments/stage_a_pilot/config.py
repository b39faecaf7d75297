"""Settings of experiment 04."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class PilotSettings(Settings):
    """Experiment 04: what is held out, and what the ablation tries."""

    section = "pilot"

    moved = MappingProxyType(
        {
            "vl_items": "`held_out.vl_items`",
            "audio_items": "`held_out.audio_items`",
            "spike_mads": "safe/hearing/evaluation/stability.py, for all runs alike",
            "margin": "the selection `smallest_config` of the criteria, 04_stage_a_pilot.yaml",
        }
    )

    latency_pairs: int = Field(default=60, ge=20)
    """Pairs of timed answers."""

    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    """Numbers of audio tokens that the ablation tries."""

    ranks: list[Positive] = Field(default=[4, 8, 16], min_length=1)
    """LoRA ranks that the ablation tries."""

    ablation_steps: Positive = 300
    """Optimizer steps of each cell of the ablation."""
