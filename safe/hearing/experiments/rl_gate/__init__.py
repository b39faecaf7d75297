"""12 RL gate: can a gate learn when to use the audio, and how many audio tokens?"""

from __future__ import annotations

from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.hearing.experiments.rl_gate.plan import plan_jobs
from safe.pipeline.experiment import CandidateTable, Experiment, MetricTable

METRICS: MetricTable = {
    "skips": {"unit": "fraction", "low": 0, "high": 1},
    "audio_drop": {"unit": "fraction", "low": -1, "high": 1},
    "vl_constraint": {"unit": "fraction", "low": -1, "high": 1},
    "pareto": {"unit": "count", "low": 0, "high": None},
}

CANDIDATES: CandidateTable = {
    "adapters": ("behind_high", "lengths"),
    "policies": ("audio_drop_high", "vl_drop", "skip_rate", "skip_rate_low", "changed", "price"),
}

EXPERIMENT = Experiment(
    settings=PolicySettings,
    reads=("seed", "adapter", "stage_a", "gating", "policy"),
    job_reads=("seed", "adapter", "stage_a", "held_out", "policy", "device", "gating"),
    inputs=("features",),
    jobs=plan_jobs,
    cores="one",
)
