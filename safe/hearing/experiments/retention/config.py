"""Settings of experiment 09."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Self

from pydantic import Field, model_validator

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class RetentionSettings(Settings):
    """Experiment 09: what holds on to pictures, and how strongly."""

    section = "retention"

    moved = MappingProxyType(
        {
            "margin": "the selection `lambda_selected` of the criteria, 09_retention.yaml",
            "max_vl_drop": "the selection `lambda_selected` of the criteria, 09_retention.yaml",
        }
    )

    start_steps: Positive = 400
    """Steps of Stage A, on fewer examples: the adapter that all variants continue from."""

    steps: Positive = 200
    """Optimizer steps of each training."""

    rows: int = Field(default=4000, ge=8)
    """Training examples."""

    batch_size: Positive = 64
    """Examples of a batch."""

    lr_factor: float = Field(default=0.5, gt=0)
    """Factor on the learning rates of `stage_a`."""

    seeds: int = Field(default=3, ge=2)
    """Trainings of each variant."""

    undistilled_seeds: int | None = Field(default=None, ge=2)
    """Trainings of variants without distillation, whose loss varies most; none: as many as
    `seeds`.
    """

    null_space: Positive = 256
    """Directions of the null space, in the variants that have it."""

    fisher: float = Field(default=1000.0, ge=0)
    """Weight of the Fisher penalty, in the variants that have it; 0 leaves them out."""

    weights: list[Annotated[float, Field(gt=0)]] = Field(default=[0.5, 1.0, 2.0], min_length=3)
    """Weights of distillation tried."""

    drift_every: Positive = 40
    """Steps between two measurements of drift."""

    drift_items: int = Field(default=400, ge=8)
    """VL questions that drift is measured on."""

    vl_items: int = Field(default=800, ge=8)
    """VL questions asked at the end."""

    audio_items: int = Field(default=500, ge=8)
    """Questions about sound asked at the end."""

    @model_validator(mode="after")
    def _distilled_seeds_have_a_baseline(self) -> Self:
        if self.undistilled_seeds is not None and self.undistilled_seeds < self.seeds:
            raise ValueError(
                f"undistilled_seeds {self.undistilled_seeds} is less than seeds {self.seeds}: "
                "distillation is compared with the same seed without it"
            )
        return self
