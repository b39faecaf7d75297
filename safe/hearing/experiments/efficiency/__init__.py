"""06 Efficiency: time and memory of training and inference, compared with the budget."""

from __future__ import annotations

from safe.hearing.experiments.efficiency.config import ProfileSettings
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "headroom": {"unit": "fraction", "low": None, "high": 1},
    "audio_latency": {"unit": "ratio", "low": None, "high": None},
    "audio_latency_p95": {"unit": "ratio", "low": None, "high": None},
    "memory_scaling": {"unit": "r2", "low": 0, "high": 1},
    "throughput": {"unit": "ratio", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    settings=ProfileSettings,
    reads=("seed", "adapter", "stage_a", "held_out", "pilot", "profile", "device"),
    inputs=("features",),
    cores="all",
)
