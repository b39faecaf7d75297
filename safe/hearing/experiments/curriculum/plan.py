"""The jobs of experiment 08, the dearest first."""

from __future__ import annotations

from safe.hearing.config import RunConfig
from safe.pipeline.experiment import JobGroup, pack

JOBS = ("resumed", "normal", "extension")


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """Two jobs share a process."""
    return pack(JOBS, 2)
