"""03 Tiny overfit: can projector and LoRA overfit a few hundred mixed examples?"""

from __future__ import annotations

from safe.hearing.experiments.tiny_overfit.config import TinyOverfitSettings
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "loss": {"unit": "nats", "low": 0, "high": None},
    "audio_accuracy": {"unit": "fraction", "low": 0, "high": 1},
    "audio_needed": {"unit": "fraction", "low": -1, "high": 1},
    "vl_unchanged": {"unit": "count", "low": 0, "high": None},
    "learning_curve": {"unit": "rho", "low": -1, "high": 1},
    "learning_plateau": {"unit": "ratio", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    settings=TinyOverfitSettings,
    reads=("seed", "adapter", "tiny_overfit", "device"),
    inputs=("data", "base"),
)
