"""10 Sweep: where is training stable, and what is the smallest sufficient combination?"""

from __future__ import annotations

from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import plan_jobs
from safe.pipeline.experiment import CandidateTable, Experiment, MetricTable

METRICS: MetricTable = {
    "selected": {"unit": "count", "low": 0, "high": None},
    "stable_curves": {"unit": "fraction", "low": 0, "high": 1},
    "consistent": {"unit": "fraction", "low": 0, "high": 1},
    "halving": {"unit": "fraction", "low": -1, "high": 1},
}

CANDIDATES: CandidateTable = {
    "combinations": (
        "rate_product", "distillation", "projector_lr", "faults", "rising",
        "gain_low", "vl_drop_high", "behind_best_high",
        "test_gain_low", "test_vl_drop_high", "test_behind_best_high",
    ),
}  # fmt: skip

EXPERIMENT = Experiment(
    settings=SweepSettings,
    reads=("seed", "stage_a", "sweep"),
    job_reads=("seed", "adapter", "stage_a", "held_out", "sweep", "device"),
    inputs=("features",),
    jobs=plan_jobs,
    cores="one",
)
