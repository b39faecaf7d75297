"""Settings of experiment 12."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from safe.hearing.config.basis import Positive, check_rising
from safe.pipeline.config import Settings


class PolicySettings(Settings):
    """Experiment 12: a gate that learns when to listen, and to how much."""

    section = "policy"

    moved = MappingProxyType(
        {
            "margin": "the selection `adapter` of the criteria, 12_rl_gate.yaml",
            "max_audio_drop": "the selection `policy` of the criteria, 12_rl_gate.yaml",
        }
    )

    renamed = MappingProxyType(
        {
            "short": "short_audio_tokens",
            "prices": "latency_weights",
            "price_unit": "latency_unit",
        }
    )

    short_audio_tokens: Positive = 4
    """Audio tokens of a short listening; a long one hears all of them."""

    steps: Positive = 200
    """Steps in which the pilot's adapter learns to be heard short as well."""

    lr_factor: float = Field(default=0.5, gt=0)
    """Factor on the learning rates of `stage_a`."""

    audio_items: int = Field(default=500, ge=8)
    """Validation questions that decide it."""

    latency_unit: Literal["second", "listening"] = "second"
    """Unit of answering time: `second`, or `listening`, the time that listening adds to an answer
    on this machine.
    """

    latency_weights: Annotated[
        list[Annotated[float, Field(ge=0)]], Field(min_length=3), AfterValidator(check_rising)
    ] = Field(default=[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0])
    """Reward lost per unit of answering time, rising; alpha of the plan, which sweeps it."""

    decisions: Positive = 50_000
    """Actions drawn in training, for each price."""

    timed_items: Positive = 24
    """Questions answered one at a time."""

    timing_repeats: Positive = 3
    """Times that each is answered; the fastest counts."""
