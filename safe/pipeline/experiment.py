"""Declaration of an experiment: settings, inputs and jobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safe.pipeline.config import Settings

MetricTable = Mapping[str, Mapping[str, Any]]  # type of `METRICS`: name -> unit, low, high
CandidateTable = Mapping[str, tuple[str, ...]]  # type of `CANDIDATES`: table -> values


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs of an experiment that run in one process, one after the other.

    Attributes:
        name: unique within the experiment; part of the name of the rule.
        after: jobs that must finish first.
        priority: groups with a larger priority start first.
    """

    name: str
    jobs: tuple[str, ...]
    after: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Experiment:
    """`EXPERIMENT` of the package of an experiment; importing it must be cheap.

    Attributes:
        reads: sections of the config that `measure` reads; editing them triggers a new measurement.
        settings: model of the experiment's own section, which is added to the run config.
        job_reads: sections that its jobs read.
        inputs: roles of artifacts (`Pipeline.artifacts`) that `measure` and jobs need.
        jobs: config -> groups of jobs; None: the experiment has no jobs.
        cores: cores for `measure`: one, `threads` of the run, or all, so that no other job runs
            while time is measured.
    """

    reads: tuple[str, ...]
    settings: type[Settings] | None = None
    job_reads: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    jobs: Callable[[Any], Sequence[JobGroup]] | None = None
    cores: Literal["one", "run", "all"] = "run"


def pack(jobs: Sequence[str], size: int, **options: Any) -> list[JobGroup]:
    """Distribute `jobs`, sorted longest first, to the fewest groups of at most `size` jobs.

    The direction alternates between rounds, so that groups take about equally long. Groups do not
    depend on `--cores`, so another number of cores reruns nothing.
    """
    groups: list[list[str]] = [[] for _ in range(math.ceil(len(jobs) / size))]
    for number, job in enumerate(jobs):
        turn, index = divmod(number, len(groups))
        groups[index if turn % 2 == 0 else -1 - index].append(job)
    prefix = options.pop("prefix", "")
    return [JobGroup(f"{prefix}{n}", tuple(group), **options) for n, group in enumerate(groups)]


def unpack(groups: Sequence[JobGroup]) -> list[JobGroup]:
    """Return one group per job."""
    return [
        JobGroup(job, (job,), after=group.after, priority=group.priority)
        for group in groups
        for job in group.jobs
    ]
