"""02 Base parity: only projector and LoRA train; SAFE with the gate OFF equals the base."""

from __future__ import annotations

from safe.hearing.experiments.base_parity.config import ParitySettings
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "trainable_count": {"unit": "parameters", "low": 0, "high": None},
    "trainable_count_full": {"unit": "parameters", "low": 0, "high": None},
    "backbone_frozen": {"unit": "fraction", "low": 0, "high": 1},
    "trainable_set": {"unit": "count", "low": 0, "high": None},
    "untrained": {"unit": "count", "low": 0, "high": None},
    "logits_equal": {"unit": "logit", "low": 0, "high": None},
    "logits_identical": {"unit": "count", "low": 0, "high": None},
    "vqa_identical": {"unit": "count", "low": 0, "high": None},
    "no_overhead": {"unit": "count", "low": 0, "high": None},
    "wall_clock_ratio": {"unit": "ratio", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    settings=ParitySettings,
    reads=("seed", "adapter", "parity", "device"),
    inputs=("data", "base"),
)
