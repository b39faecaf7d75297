"""Share of correct items over both jobs."""

from __future__ import annotations

from safe.gates.schema import Metric
from safe.gates.statistics import wilson
from safe.pipeline.context import Context
from safe.pipeline.job_results import read_job
from tests.toy.experiments.made_up import JOBS, METRICS


def measure(context: Context) -> list[Metric]:
    """Return the one metric."""
    found = [read_job(context, job)[1] for job in JOBS]
    right, items = sum(r["right"] for r in found), sum(r["items"] for r in found)
    return [
        Metric(
            name="share",
            value=right / items,
            unit=str(METRICS["share"]["unit"]),
            n=items,
            provenance="measured",
            ci=wilson(right, items),
        )
    ]
