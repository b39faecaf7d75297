"""What single experiments are told, all but the curriculum's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from safe.hearing.config.basis import Fraction, Positive, Strict


class PreflightConfig(Strict):
    """Experiment 01."""

    alignment_pairs: Positive = 1000
    """Pairs of picture and sound that are compared."""

    near_image_distance: int = Field(default=4, ge=0, le=64)
    """Bits of the perceptual hash within which two pictures are near duplicates."""

    near_audio_similarity: Fraction = 0.9
    """Similarity of audio fingerprints from which two sounds are compared further."""

    near_audio_correlation: Fraction = 0.88
    """Correlation of their waveforms from which they are copies."""

    near_text_similarity: Fraction = 0.9
    """Similarity of words from which two texts are near duplicates."""

    recall_copies: Positive = 60
    """Re-encoded copies made to measure each detector's recall."""

    verdict_file: Path | None = None
    """A person's signed spot-check verdicts."""

    batches: int = Field(default=200, ge=1)
    """Batches drawn for each stage of the curriculum."""


class ParityConfig(Strict):
    """Experiment 02."""

    samples: Positive = 1000
    """VL questions compared."""

    batch_size: Positive = 50
    """Questions of a batch."""

    max_new_tokens: Positive = 8
    """Tokens generated for each."""

    timing_repeats: Positive = 20
    """Times that each path is timed, in turn."""


class TinyOverfitConfig(Strict):
    """Experiment 03."""

    rows: int = Field(default=512, ge=8)
    """Examples to learn by heart."""

    audio_fraction: Fraction = 0.5
    """Share of them that needs sound."""

    steps: Positive = 480
    """Optimizer steps."""

    batch_size: Positive = 32
    """Examples of a batch."""

    projector_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of the projector."""

    lora_lr: float = Field(default=4e-3, gt=0)
    """Learning rate of LoRA."""

    warmup: Fraction = 0.05
    """Share of the steps in which the rates rise."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class PilotConfig(Strict):
    """Experiment 04: what is held out, and what the ablation tries."""

    moved = MappingProxyType(
        {
            "spike_mads": "safe/hearing/evaluation/stability.py, for all runs alike",
            "margin": "the selection `smallest_config` of the criteria, 04_stage_a_pilot.yaml",
        }
    )

    vl_items: Positive = 1500
    """Held-out VL questions of each dataset, at most."""

    audio_items: Positive = 3000
    """Held-out questions about sound of each split, at most."""

    latency_pairs: int = Field(default=60, ge=20)
    """Pairs of timed answers."""

    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    """Numbers of audio tokens that the ablation tries."""

    ranks: list[Positive] = Field(default=[4, 8, 16], min_length=1)
    """LoRA ranks that the ablation tries."""

    ablation_steps: Positive = 300
    """Optimizer steps of each cell of the ablation."""


class GatingConfig(Strict):
    """Experiment 05."""

    moved = MappingProxyType(
        {
            "max_audio_drop": "the selection `gate` of the criteria, 05_gating.yaml",
        }
    )

    points: int = Field(default=25, ge=5)
    """Thresholds tried of each policy."""

    items: Positive | None = None
    """Questions of each task and split, at most; none: all."""

    timed_items: Positive = 80
    """Questions answered one at a time."""

    timing_repeats: Positive = 5
    """Times that each is answered. With five policies in turn, each takes each place once."""


class ProfileConfig(Strict):
    """Experiment 06: what the machine must carry."""

    batch_sizes: list[Positive] = Field(default=[16, 32, 64, 128, 256], min_length=4)
    """Batch sizes measured."""

    target_batch: Positive = 64
    """Batch size that must fit into the memory."""

    memory_budget_gb: float | None = Field(default=None, gt=0)
    """Memory available; none: all that the device has."""

    audio_latency_ms: float = Field(default=50.0, gt=0)
    """Service level: median time that audio adds to a question."""

    audio_latency_p95_ms: float = Field(default=100.0, gt=0)
    """Service level: 95th percentile of that time."""

    planned_samples: Positive = 500_000
    """Samples of the planned training."""

    planned_hours: float = Field(default=24.0, gt=0)
    """Hours that it may take."""

    repeats: int = Field(default=20, ge=6)
    """Repeats of each timing; fewer than six have no 95 % interval of their median."""

    audio_tokens: list[Annotated[int, Field(ge=1, le=64)]] = Field(default=[4, 8, 12], min_length=1)
    """Numbers of audio tokens measured."""


class EvaluationConfig(Strict):
    """Experiment 07."""

    moved = MappingProxyType(
        {"min_drop": "safe/hearing/experiments/evaluation_harness/lomo.py, for all runs alike"}
    )

    references: Path = Path("config/references.yaml")
    """Table of figures to reproduce, each with source and tolerance."""

    max_new_tokens: Positive = 8
    """Tokens of an answer."""

    audio_items: Positive = 1000
    """Questions that need their sound, at most."""

    vl_items: Positive = 2500
    """Questions about a picture alone, at most; resolving 0.5 points needs many."""

    repeated_items: Positive = 192
    """Questions asked again, in another order and in other batches."""

    sweep_items: Positive = 500
    """Questions asked in every condition of the sound."""

    snr_db: list[float] = Field(default=[20.0, 10.0, 0.0, -10.0], min_length=2)
    """Signal-to-noise ratios, in dB."""

    clipping: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.3, 0.03], min_length=1)
    """Clipping levels, as a share of the peak."""

    sampling_rates: list[Positive] = Field(default=[8000, 4000, 2000], min_length=1)
    """Sampling rates, in Hz."""

    caption_reference: Path | None = None
    """CSV whose official scores are known, `data/example_1.csv` of aac-metrics, if at hand."""


class RetentionConfig(Strict):
    """Experiment 09: what holds on to pictures, and how strongly."""

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


def _rising(values: list[float]) -> list[float]:
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError("values rise, each larger than the one before")
    return values


# One value has no neighbour to be consistent with.
Grid = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2), AfterValidator(_rising)]


class SweepConfig(Strict):
    """Experiment 10: learning rates and weight of distillation, by default the plan's."""

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
    def _rungs_rise(self) -> SweepConfig:
        if any(low >= high for low, high in pairwise([0, *self.rungs, self.steps])):
            raise ValueError("rungs rise, and the last lies before `steps`")
        return self


class SeedsConfig(Strict):
    """Experiment 11: the combination that 10 took, trained again with other seeds."""

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


class PolicyConfig(Strict):
    """Experiment 12: a gate that learns when to listen, and to how much."""

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
        list[Annotated[float, Field(ge=0)]], Field(min_length=3), AfterValidator(_rising)
    ] = Field(default=[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0])
    """Reward lost per unit of answering time, rising; alpha of the plan, which sweeps it."""

    decisions: Positive = 50_000
    """Actions drawn in training, for each price."""

    timed_items: Positive = 24
    """Questions answered one at a time."""

    timing_repeats: Positive = 3
    """Times that each is answered; the fastest counts."""
