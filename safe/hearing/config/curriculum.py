"""Stages of a curriculum, and its rehearsal in experiment 08."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class StageLossConfig(Strict):
    """Loss weights of a curriculum stage."""

    cross_entropy: float = Field(default=1.0, gt=0)
    """Weight of the cross-entropy on examples that need their sound."""

    distillation: float | None = Field(default=None, ge=0)
    """Weight of KL(base || SAFE) on VL examples; none: that of `stage_a`."""


class AugmentationConfig(Strict):
    """Audio augmentation of a curriculum stage."""

    noise: Fraction = 0.0
    """Share of the examples that need their sound which hear it in noise."""

    noise_snr_db: tuple[float, float] = (5.0, 20.0)
    """Lowest and highest signal-to-noise ratio of that noise, in dB."""

    irrelevant: Fraction = 0.9
    """Share of VL examples beside another clip; the others hear background noise."""

    @model_validator(mode="after")
    def _lowest_first(self) -> AugmentationConfig:
        low, high = self.noise_snr_db
        if not -40 <= low <= high <= 60:
            raise ValueError("noise_snr_db gives the lowest, then the highest, within -40 and 60")
        return self


class StageConfig(Strict):
    """One curriculum stage."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    """Lower case; unique within the curriculum."""

    epochs: Positive
    """Epochs of the stage."""

    audio_ratio: Fraction
    """Share of audio examples in every batch."""

    difficulties: list[Literal["easy", "medium", "hard"]] = Field(min_length=1)
    """Difficulties of the examples that the stage draws."""

    loss: StageLossConfig = StageLossConfig()
    """Weights of the loss."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """What is done to sounds."""

    lr_factor: float = Field(default=1.0, gt=0)
    """Factor on the learning rates of `stage_a`."""

    batch_factor: float = Field(default=1.0, gt=0)
    """Factor on `curriculum.batch_size`."""

    min_audio_accuracy: Fraction
    """Audio accuracy that ends the stage."""

    max_vl_drop: Fraction
    """Largest VL drop, gate ON beside unrelated sounds, with which the stage ends."""

    min_samples: int = Field(default=0, ge=0)
    """Samples that the stage must have seen to end."""

    min_skip_rate: Fraction = 0.0
    """Skip rate of the gate that 05 chose which ends the stage."""


class RehearsalConfig(Strict):
    """Experiment 08: the curriculum on few examples."""

    rows: int = Field(default=1600, ge=8)
    """Training examples, audio and VL together."""

    held_out: int = Field(default=400, ge=8)
    """Held-out examples of each kind, asked after every epoch."""

    dropout: Fraction = 0.1
    """Dropout of LoRA; a resumed run must draw it as the uninterrupted one did."""

    kills: Positive = 2
    """How often the run is killed."""

    checkpoint_every: Positive = 5
    """Steps between two checkpoints."""


class CurriculumConfig(Strict):
    """Stages in order, and rules that extend or shorten them."""

    batch_size: Positive = 50
    """Examples of a batch."""

    stages: list[StageConfig] = Field(min_length=1)
    """The stages, in order."""

    max_extensions: int = Field(default=2, ge=0)
    """Extensions of a stage before the run stops."""

    early_factor: float = Field(default=1.05, ge=1)
    """Factor by which the criteria must be exceeded to move on early."""

    early_epochs: Positive = 2
    """Epochs for which they must be exceeded."""

    ratio_step: Fraction = 0.0
    """By how much an extension moves the audio ratio towards what was missed; 0: not at all."""

    rehearsal: RehearsalConfig = RehearsalConfig()
    """The curriculum in small, in experiment 08."""

    @model_validator(mode="after")
    def _stages_can_be_told_apart(self) -> CurriculumConfig:
        names = [stage.name for stage in self.stages]
        if len(names) != len(set(names)):
            raise ValueError(f"two stages share a name: {names}")
        return self
