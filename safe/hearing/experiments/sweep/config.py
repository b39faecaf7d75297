"""Settings of experiment 10."""

from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Grid, Positive
from safe.pipeline.config import Settings


class SweepSettings(Settings):
    """Experiment 10: learning rates and weight of distillation, by default the plan's."""

    section = "sweep"

    moved = MappingProxyType(
        {
            "margin": "the selection `selected` of the criteria, 10_sweep.yaml",
            "max_vl_drop": "the selection `selected` of the criteria, 10_sweep.yaml",
        }
    )

    projector_lr: Grid = Field(default=[5e-5, 1e-4, 2e-4])
    """Learning rates of the projector; at least two, rising, so that each has a neighbour."""

    lora_lr: Grid = Field(default=[2e-5, 5e-5, 1e-4])
    """Learning rates of LoRA."""

    distillation: Grid = Field(default=[0.5, 1.0, 2.0])
    """Weights of distillation."""

    mode: Literal["grid", "halving"] = "grid"
    """`grid`, or `halving`: successive halving."""

    rows: int = Field(default=20_000, ge=8)
    """Training examples of Stage A, at most."""

    steps: Positive = 400
    """Optimizer steps of each combination."""

    batch_size: Positive = 64
    """Examples of a batch."""

    rungs: list[Positive] = Field(default=[50, 130])
    """Steps after which successive halving drops the worst; a grid only notes what it would drop.
    """

    keep: float = Field(default=1 / 3, gt=0, lt=1)
    """Share that a rung lets through."""

    audio_items: int = Field(default=500, ge=8)
    """Questions about sound of each of validation and test."""

    vl_items: int = Field(default=500, ge=8)
    """VL questions of each of validation and test."""

    @model_validator(mode="after")
    def _rungs_rise(self) -> SweepSettings:
        if any(low >= high for low, high in pairwise([0, *self.rungs, self.steps])):
            raise ValueError("rungs must be ascending, and the last one less than `steps`")
        return self
