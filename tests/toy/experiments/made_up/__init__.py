"""Two jobs count items; the measurement is the share of correct items."""

from __future__ import annotations

from safe.pipeline.experiment import Experiment, JobGroup, MetricTable
from tests.toy.experiments.made_up.config import MadeUpSettings

METRICS: MetricTable = {"share": {"unit": "fraction", "low": -1.0, "high": 1.0}}
JOBS = ("left", "right")


def _plan_jobs(config: object) -> list[JobGroup]:
    return [JobGroup("left", ("left",)), JobGroup("right", ("right",), after=("left",))]


EXPERIMENT = Experiment(
    settings=MadeUpSettings, reads=("seed",), job_reads=("made_up",), jobs=_plan_jobs
)
