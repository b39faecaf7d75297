"""Stages of a curriculum, and its rehearsal in experiment 08."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class StageLossConfig(Strict):
    """What a curriculum stage minimises."""

    cross_entropy: float = Field(default=1.0, gt=0)  # on rows that need their sound
    distillation: float | None = Field(default=None, ge=0)  # None: that of stage_a


class AugmentationConfig(Strict):
    """What a curriculum stage does to sounds."""

    noise: Fraction = 0.0  # share of rows that need their sound and hear it in noise
    noise_snr_db: tuple[float, float] = (5.0, 20.0)  # lowest and highest
    irrelevant: Fraction = 0.9  # share of VL rows beside another clip; the others: near-silence

    @model_validator(mode="after")
    def _lowest_first(self) -> AugmentationConfig:
        low, high = self.noise_snr_db
        if not -40 <= low <= high <= 60:
            raise ValueError("noise_snr_db gives the lowest, then the highest, within -40 and 60")
        return self


class StageConfig(Strict):
    """One curriculum stage."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    epochs: Positive
    audio_ratio: Fraction  # share of audio-bearing rows in every batch
    difficulties: list[Literal["easy", "medium", "hard"]] = Field(min_length=1)
    loss: StageLossConfig = StageLossConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    lr_factor: float = Field(default=1.0, gt=0)
    batch_factor: float = Field(default=1.0, gt=0)
    min_audio_accuracy: Fraction
    max_vl_drop: Fraction  # with the gate ON, beside sounds that have nothing to do with the row
    min_samples: int = Field(default=0, ge=0)
    min_skip_rate: Fraction = 0.0  # of the gate that experiment 05 chose


class RehearsalConfig(Strict):
    """Experiment 08: the curriculum in small."""

    rows: int = Field(default=1600, ge=8)  # training rows, audio and VL together
    held_out: int = Field(default=400, ge=8)  # of each kind, asked after every epoch
    dropout: Fraction = 0.1  # of LoRA: what a resumed run must draw as the uninterrupted one did
    kills: Positive = 2
    checkpoint_every: Positive = 5


class CurriculumConfig(Strict):
    """Stages in order; what ends, extends or shortens them."""

    batch_size: Positive = 50
    stages: list[StageConfig] = Field(min_length=1)
    max_extensions: int = Field(default=2, ge=0)
    early_factor: float = Field(default=1.05, ge=1)
    early_epochs: Positive = 2
    ratio_step: Fraction = 0.0  # by which an extension moves the audio ratio to what was missed
    rehearsal: RehearsalConfig = RehearsalConfig()

    @model_validator(mode="after")
    def _stages_can_be_told_apart(self) -> CurriculumConfig:
        names = [stage.name for stage in self.stages]
        if len(names) != len(set(names)):
            raise ValueError(f"two stages share a name: {names}")
        return self
