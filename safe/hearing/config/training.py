"""Training of the adapter, and tracking."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from pydantic import Field

from safe.hearing.config.basis import Fraction, Positive, Strict


class StageAConfig(Strict):
    """Training of the adapter, in experiment 04 and those with the same training."""

    renamed = MappingProxyType(
        {
            "renew_every": "null_space_update_interval",
            "faint_noise": "background_noise_fraction",
        }
    )

    rows: Positive = 50_000
    """Training examples, audio and VL together, at most."""

    audio_fraction: float = Field(default=0.5, gt=0, le=1)
    """Share of every batch that needs sound."""

    tasks: list[Literal["audio", "av", "caption"]] = Field(default=["audio", "av"], min_length=1)
    """Tasks whose questions need sound."""

    steps: Positive = 800
    """Optimizer steps."""

    batch_size: Positive = 64
    """Examples of an optimizer step, over all processes."""

    accumulate: Positive = 1
    """Micro-batches of a step."""

    projector_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of the projector."""

    lora_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of LoRA."""

    warmup: Fraction = 0.05
    """Share of the steps in which the rates rise."""

    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""

    distillation: float = Field(default=1.0, ge=0)
    """Weight of KL(base || SAFE) on VL examples."""

    null_space: int = Field(default=0, ge=0)
    """Directions kept out of every update; 0: none."""

    fisher: float = Field(default=0.0, ge=0)
    """Weight of the Fisher penalty; 0: none."""

    retention_rows: Positive = 256
    """VL examples whose gradients those two are made from."""

    null_space_update_interval: Positive = 500
    """Steps after which the null space is computed again."""

    null_space_gb: float = Field(default=4.0, gt=0)
    """Memory that computing it may take, in GB."""

    background_noise_fraction: Fraction = 0.1
    """Share of VL examples that hear background noise; the others hear another example's clip."""

    checkpoint_every: Positive = 200
    """Steps between two checkpoints."""


class TrackingConfig(Strict):
    """Where training is logged, through Accelerate."""

    trackers: list[str] = Field(default=[])
    """Any of `wandb`, `tensorboard`, `mlflow`; the last two need `pip install safe[tracking]`."""

    project: str = Field(default="safe", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name that the records are kept under."""

    online: bool = False
    """`true`: wandb sends while it trains (`wandb login` first), and mlflow uses the server of
    `MLFLOW_TRACKING_URI`. `false`: nothing leaves the machine; `wandb sync` sends it later.
    """
