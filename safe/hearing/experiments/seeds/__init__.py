"""11 Seeds: variance of results over seeds, and identity of the frozen path."""

from __future__ import annotations

from safe.hearing.experiments.seeds.config import SeedsSettings
from safe.hearing.experiments.seeds.plan import plan_jobs
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "audio_sd": {"unit": "fraction", "low": 0, "high": None},
    "vl_sd": {"unit": "fraction", "low": 0, "high": None},
    "frozen_checksums": {"unit": "count", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    settings=SeedsSettings,
    reads=("seed", "stage_a", "sweep", "seeds"),
    job_reads=("seed", "adapter", "stage_a", "held_out", "sweep", "seeds", "device"),
    inputs=("features",),
    jobs=plan_jobs,
    cores="one",
)
