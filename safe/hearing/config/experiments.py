"""What single experiments are told, all but the curriculum's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class PreflightConfig(Strict):
    """Experiment 01."""

    alignment_pairs: Positive = 1000
    near_image_distance: int = Field(default=4, ge=0, le=64)
    near_audio_similarity: Fraction = 0.9  # of fingerprints: what is compared further
    near_audio_correlation: Fraction = 0.88  # of waveforms: what is then a copy
    near_text_similarity: Fraction = 0.9
    recall_copies: Positive = 60  # re-encoded copies made to measure each detector's recall
    verdict_file: Path | None = None  # a person's signed spot-check verdicts
    batches: int = Field(default=200, ge=1)


class ParityConfig(Strict):
    """Experiment 02."""

    samples: Positive = 1000
    batch_size: Positive = 50
    max_new_tokens: Positive = 8
    timing_repeats: Positive = 20


class TinyOverfitConfig(Strict):
    """Experiment 03."""

    rows: int = Field(default=512, ge=8)
    audio_fraction: Fraction = 0.5
    steps: Positive = 480
    batch_size: Positive = 32
    projector_lr: float = Field(default=4e-3, gt=0)
    lora_lr: float = Field(default=4e-3, gt=0)
    warmup: Fraction = 0.05
    clip_norm: float = Field(default=1.0, gt=0)


class PilotConfig(Strict):
    """Experiment 04: what is held out, and what the ablation tries."""

    vl_items: Positive = 1500  # held-out VL questions of each dataset, base against SAFE
    audio_items: Positive = 3000  # held-out questions about sound of each split
    latency_pairs: int = Field(default=60, ge=20)
    spike_mads: float = Field(
        default=12.0, gt=0
    )  # a step further off the running median is a spike
    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    ranks: list[Positive] = Field(default=[4, 8, 16], min_length=1)
    ablation_steps: Positive = 300
    margin: Fraction = 0.03  # of audio accuracy: how far below the best still counts as its equal


class GatingConfig(Strict):
    """Experiment 05."""

    # What a threshold may cost on validation, by its bound: far less than on test, as one that is
    # chosen at the limit fails there half of the time.
    max_audio_drop: Fraction = 0.002
    points: int = Field(default=25, ge=5)  # thresholds on the curve of each policy
    items: Positive | None = None  # questions of each task and split; None: all of them
    timed_items: Positive = 80
    timing_repeats: Positive = 5  # of five ways in turn: each takes each place once


class ProfileConfig(Strict):
    """Experiment 06: what the machine must carry."""

    batch_sizes: list[Positive] = Field(default=[16, 32, 64, 128, 256], min_length=4)
    target_batch: Positive = 64
    memory_budget_gb: float | None = Field(default=None, gt=0)  # None: all that the device has
    audio_latency_ms: float = Field(default=50.0, gt=0)  # SLO: added per question, median
    audio_latency_p95_ms: float = Field(default=100.0, gt=0)
    planned_samples: Positive = 500_000
    planned_hours: float = Field(default=24.0, gt=0)
    repeats: int = Field(default=20, ge=6)  # fewer have no 95 % interval of their median
    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)


class EvaluationConfig(Strict):
    """Experiment 07."""

    references: Path = Path("config/references.yaml")
    max_new_tokens: Positive = 8
    audio_items: Positive = 1000  # questions that need their sound
    vl_items: Positive = 2500  # questions about a picture alone; half a point is told by many
    min_drop: float = Field(default=0.1, gt=0)  # nats of the right answer lost: a drop when muted
    repeated_items: Positive = 192  # asked again, in another order and in other batches
    sweep_items: Positive = 500  # asked in every condition of sound
    snr_db: list[float] = Field(default=[20.0, 10.0, 0.0, -10.0], min_length=2)
    clipping: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.3, 0.03], min_length=1)
    sampling_rates: list[Positive] = Field(default=[8000, 4000, 2000], min_length=1)
    caption_reference: Path | None = None  # CSV whose official scores are known, if at hand


class RetentionConfig(Strict):
    """Experiment 09: what holds on to pictures, and how strongly."""

    # Of Stage A, on fewer rows: the adapter that all variants go on from.
    start_steps: Positive = 400
    steps: Positive = 200
    rows: int = Field(default=4000, ge=8)
    batch_size: Positive = 64
    lr_factor: float = Field(default=0.5, gt=0)  # of stage_a's learning rates
    seeds: int = Field(default=3, ge=2)
    # Of variants without distillation, whose loss varies most; None: as many as `seeds`.
    undistilled_seeds: int | None = Field(default=None, ge=2)
    null_space: Positive = 256  # directions, in the variants that have it
    fisher: float = Field(default=1000.0, ge=0)  # weight, in its variants; 0 leaves them out
    weights: list[Annotated[float, Field(gt=0)]] = Field(default=[0.5, 1.0, 2.0], min_length=3)
    margin: Fraction = 0.03  # of audio accuracy: what a weight may cost against the best
    max_vl_drop: Fraction = 0.01  # what a weight must hold, by its bound
    drift_every: Positive = 40  # steps between two measurements of drift
    drift_items: int = Field(default=400, ge=8)  # VL questions that drift is measured on
    vl_items: int = Field(default=800, ge=8)  # asked at the end
    audio_items: int = Field(default=500, ge=8)

    @model_validator(mode="after")
    def _distilled_seeds_have_a_baseline(self) -> Self:
        if self.undistilled_seeds is not None and self.undistilled_seeds < self.seeds:
            raise ValueError(
                f"undistilled_seeds {self.undistilled_seeds} is less than seeds {self.seeds}: "
                "distillation is compared with the same seed without it"
            )
        return self


def _rising(values: list[float]) -> list[float]:
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError("values rise, each larger than the one before")
    return values


# One value has no neighbour to be consistent with.
Grid = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2), AfterValidator(_rising)]


class SweepConfig(Strict):
    """Experiment 10: learning rates and weight of distillation, by default the plan's."""

    projector_lr: Grid = Field(default=[5e-5, 1e-4, 2e-4])
    lora_lr: Grid = Field(default=[2e-5, 5e-5, 1e-4])
    distillation: Grid = Field(default=[0.5, 1.0, 2.0])
    mode: Literal["grid", "halving"] = "grid"
    rows: int = Field(default=20_000, ge=8)  # of Stage A, at most
    steps: Positive = 400  # of each combination
    batch_size: Positive = 64
    # Steps after which successive halving drops the worst; a grid only notes what it would drop.
    rungs: list[Positive] = Field(default=[50, 130])
    keep: float = Field(default=1 / 3, gt=0, lt=1)  # share that a rung lets through
    margin: Fraction = 0.03  # of audio accuracy: how far below the best still counts as its equal
    max_vl_drop: Fraction = 0.01
    audio_items: int = Field(default=500, ge=8)  # questions of each of validation and test
    vl_items: int = Field(default=500, ge=8)

    @model_validator(mode="after")
    def _rungs_rise(self) -> SweepConfig:
        if any(low >= high for low, high in pairwise([0, *self.rungs, self.steps])):
            raise ValueError("rungs rise, and the last lies before `steps`")
        return self


class SeedsConfig(Strict):
    """Experiment 11: the combination that 10 took, trained again with other seeds."""

    count: int = Field(default=3, ge=2)
    steps: Positive | None = None  # of each training; None: as many as stage_a
    audio_items: Positive = 3000  # questions of test that need their sound
    vl_items: Positive = 3000
    frozen_items: int = Field(default=64, ge=8)  # of each kind, whose frozen outputs are compared


class PolicyConfig(Strict):
    """Experiment 12: a gate that learns when to listen, and to how much."""

    short: Positive = 4  # audio tokens of a short listening; a long one hears all of them
    steps: Positive = 200  # in which the pilot's adapter learns to be heard short as well
    lr_factor: float = Field(default=0.5, gt=0)  # of stage_a's learning rates
    margin: Fraction = 0.03  # of accuracy: what one adapter for both lengths may cost
    audio_items: int = Field(default=500, ge=8)  # questions of validation that tell it
    # alpha of the plan, which sweeps it: the reward lost per unit of answering time. The unit is a
    # second, or the time that listening adds to an answer on this machine.
    price_unit: Literal["second", "listening"] = "second"
    prices: Annotated[
        list[Annotated[float, Field(ge=0)]], Field(min_length=3), AfterValidator(_rising)
    ] = Field(default=[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0])
    decisions: Positive = 50_000  # actions drawn in training, for each price
    max_audio_drop: Fraction = 0.005  # on validation, by its bound
    timed_items: Positive = 24
    timing_repeats: Positive = 3
