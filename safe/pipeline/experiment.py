"""Declaring an experiment: what it measures, reads and needs, and which parts train for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safe.pipeline.config import Settings

MetricTable = Mapping[str, Mapping[str, Any]]  # of `METRICS`: name -> unit, low, high


@dataclass(frozen=True, slots=True)
class Group:
    """Parts of an experiment that one process runs, one after the other.

    Attributes:
        name: unique within the experiment; part of the name of the rule.
        after: parts that must be done before.
        priority: the larger, the earlier it starts where cores are scarce.
    """

    name: str
    parts: tuple[str, ...]
    after: tuple[str, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Experiment:
    """`EXPERIMENT` of the package of an experiment; importing it must be cheap.

    Attributes:
        reads: sections of the config that `measure` reads; an edit there measures again.
        settings: model of its own section, which becomes part of the run config.
        part_reads: sections that its parts read.
        inputs: artifacts by role (`Pipeline.artifacts`) that both need.
        parts: config -> groups of parts; None: it has no parts.
        cores: of `measure`: one, those of the run (`threads`), or all of the machine, which keeps
            every other job away where time is measured.
    """

    reads: tuple[str, ...]
    settings: type[Settings] | None = None
    part_reads: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    parts: Callable[[Any], Sequence[Group]] | None = None
    cores: Literal["one", "run", "all"] = "run"


def pack(parts: Sequence[str], size: int, **options: Any) -> list[Group]:
    """`parts`, the longest first, in as few groups of at most `size` as hold them.

    They are dealt to the groups forwards and backwards in turn, so that groups take equally long.
    Groups depend on the parts alone, not on `--cores`: on another number of cores nothing reruns.
    """
    groups: list[list[str]] = [[] for _ in range(math.ceil(len(parts) / size))]
    for number, part in enumerate(parts):
        turn, place = divmod(number, len(groups))
        groups[place if turn % 2 == 0 else -1 - place].append(part)
    prefix = options.pop("prefix", "")
    return [Group(f"{prefix}{n}", tuple(group), **options) for n, group in enumerate(groups)]


def unpack(groups: Sequence[Group]) -> list[Group]:
    """The same parts, each in a process of its own."""
    return [
        Group(part, (part,), after=group.after, priority=group.priority)
        for group in groups
        for part in group.parts
    ]
