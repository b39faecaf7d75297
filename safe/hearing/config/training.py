"""How the adapter is trained, and where that is recorded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from safe.hearing.config.basis import Fraction, Positive, Strict


class StageAConfig(Strict):
    """How the adapter is trained: experiment 04, and those that train as it does."""

    rows: Positive = 50_000  # training rows at most, audio and VL together
    audio_fraction: float = Field(default=0.5, gt=0, le=1)  # of every batch: rows that need sound
    tasks: list[Literal["audio", "av", "caption"]] = Field(default=["audio", "av"], min_length=1)
    steps: Positive = 800
    batch_size: Positive = 64  # rows of an optimizer step, over all processes
    accumulate: Positive = 1  # micro-batches that a step is dealt out to
    projector_lr: float = Field(default=4e-3, gt=0)
    lora_lr: float = Field(default=4e-3, gt=0)
    warmup: Fraction = 0.05
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    distillation: float = Field(default=1.0, ge=0)  # weight of KL(base || SAFE) on VL rows
    null_space: int = Field(default=0, ge=0)  # directions kept out of every update; 0: none
    fisher: float = Field(default=0.0, ge=0)  # weight of the Fisher penalty
    retention_rows: Positive = 256  # VL rows whose gradients those two are made from
    renew_every: Positive = 500  # steps after which the null space is made anew
    null_space_gb: float = Field(default=4.0, gt=0)  # what its making may take
    faint_noise: Fraction = 0.1  # of VL rows: hear near-silence, not another row's clip
    checkpoint_every: Positive = 200


class TrackingConfig(Strict):
    """Where training is logged, through Accelerate."""

    trackers: list[Literal["wandb", "tensorboard", "mlflow"]] = Field(default=[])
    project: str = Field(default="safe", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    online: bool = False  # wandb: False keeps the record in results/, `wandb sync` sends it later
