"""Declaring an experiment: what it measures, reads and needs, and which jobs train for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safe.pipeline.config import Settings

MetricTable = Mapping[str, Mapping[str, Any]]  # of `METRICS`: name -> unit, low, high
CandidateTable = Mapping[str, tuple[str, ...]]  # of `CANDIDATES`: table -> values of a candidate


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Jobs of an experiment that one process runs, one after the other.

    Attributes:
        name: unique within the experiment; part of the name of the rule.
        after: jobs that must be done before.
        priority: the larger, the earlier it starts where cores are scarce.
    """

    name: str
    jobs: tuple[str, ...]
    after: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Experiment:
    """`EXPERIMENT` of the package of an experiment; importing it must be cheap.

    Attributes:
        reads: sections of the config that `measure` reads; an edit there measures again.
        settings: model of its own section, which becomes part of the run config.
        job_reads: sections that its jobs read.
        inputs: artifacts by role (`Pipeline.artifacts`) that both need.
        jobs: config -> groups of jobs; None: it has no jobs.
        cores: of `measure`: one, those of the run (`threads`), or all of the machine, which keeps
            every other job away where time is measured.
    """

    reads: tuple[str, ...]
    settings: type[Settings] | None = None
    job_reads: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    jobs: Callable[[Any], Sequence[JobGroup]] | None = None
    cores: Literal["one", "run", "all"] = "run"


def pack(jobs: Sequence[str], size: int, **options: Any) -> list[JobGroup]:
    """`jobs`, the longest first, in as few groups of at most `size` as hold them.

    They are dealt to the groups forwards and backwards in turn, so that groups take equally long.
    Groups depend on the jobs alone, not on `--cores`: on another number of cores nothing reruns.
    """
    groups: list[list[str]] = [[] for _ in range(math.ceil(len(jobs) / size))]
    for number, job in enumerate(jobs):
        turn, place = divmod(number, len(groups))
        groups[place if turn % 2 == 0 else -1 - place].append(job)
    prefix = options.pop("prefix", "")
    return [JobGroup(f"{prefix}{n}", tuple(group), **options) for n, group in enumerate(groups)]


def unpack(groups: Sequence[JobGroup]) -> list[JobGroup]:
    """The same jobs, each in a process of its own."""
    return [
        JobGroup(job, (job,), after=group.after, priority=group.priority)
        for group in groups
        for job in group.jobs
    ]
