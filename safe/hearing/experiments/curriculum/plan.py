"""The jobs of experiment 08, most expensive first."""

from __future__ import annotations

from safe.hearing.config import RunConfig
from safe.pipeline.experiment import JobGroup, pack

JOBS = ("resumed", "normal", "extension")


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """Group the jobs, two per process."""
    return pack(JOBS, 2)
