"""04 Stage-A pilot: gain and cost of audio training, and the smallest sufficient adapter."""

from __future__ import annotations

from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.hearing.experiments.stage_a_pilot.plan import plan_jobs
from safe.pipeline.experiment import CandidateTable, Experiment, MetricTable

METRICS: MetricTable = {
    "vl_drop": {"unit": "fraction", "low": -1, "high": 1},
    "vl_drop_on": {"unit": "fraction", "low": -1, "high": 1},
    "audio_gain": {"unit": "fraction", "low": -1, "high": 1},
    "audio_over_majority": {"unit": "fraction", "low": -1, "high": 1},
    "audio_needed": {"unit": "fraction", "low": -1, "high": 1},
    "latency": {"unit": "ratio", "low": 0, "high": None},
    "timed_work": {"unit": "count", "low": 0, "high": None},
    "latency_full": {"unit": "ratio", "low": 0, "high": None},
    "stable": {"unit": "count", "low": 0, "high": None},
    "smallest_config": {"unit": "count", "low": 0, "high": None},
    "memory_fits": {"unit": "ratio", "low": 0, "high": None},
    "latency_acceptable": {"unit": "ratio", "low": 0, "high": None},
}

CANDIDATES: CandidateTable = {"configurations": ("parameters", "gain_low", "behind_best_high")}

EXPERIMENT = Experiment(
    settings=PilotSettings,
    reads=("seed", "adapter", "stage_a", "held_out", "pilot", "profile", "device"),
    job_reads=("seed", "adapter", "stage_a", "held_out", "pilot", "device"),
    inputs=("features",),
    jobs=plan_jobs,
)
