"""08 Curriculum rehearsal: does the curriculum do what its configuration says?"""

from __future__ import annotations

from safe.hearing.experiments.curriculum.plan import plan_jobs
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "no_crash": {"unit": "count", "low": 0, "high": None},
    "transitions": {"unit": "count", "low": 0, "high": None},
    "resume_identical": {"unit": "count", "low": 0, "high": None},
    "logging": {"unit": "count", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    reads=("curriculum",),
    job_reads=("seed", "adapter", "stage_a", "held_out", "curriculum", "device"),
    inputs=("features",),
    jobs=plan_jobs,
    cores="one",
)
