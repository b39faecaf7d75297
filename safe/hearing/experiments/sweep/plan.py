"""The grid of experiment 10: its cells, their order, and which of them a rung lets through.

In a grid a job is a cell, trained to the end. In successive halving (Jamieson and Talwalkar 2016,
arXiv:1502.07943) a job is a cell up to a rung, `NAME.r1`: it goes on from where the job before it
stopped, or does nothing where the cell was dropped. Needs no torch: the Snakefile asks it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, StageAConfig, SweepConfig
from safe.pipeline.experiment import JobGroup, pack

ITEMS = "items.parquet"
CHOSEN_ON, CONFIRMED_ON = "val", "test"  # a cell is chosen on one split and held to it on the other
AXES = ("projector_lr", "lora_lr", "distillation")
SIZE = ("rate_product", "distillation", "projector_lr")  # what makes a cell small, in this order
JOB = re.compile(r"(?P<cell>.+?)(?:\.r(?P<rung>\d+))?")


@dataclass(frozen=True, slots=True)
class Cell:
    """A combination.

    Attributes:
        place: of its values on the three axes, in the order of `AXES`.
    """

    projector_lr: float
    lora_lr: float
    distillation: float
    place: tuple[int, int, int]

    @property
    def name(self) -> str:
        return f"p{self.projector_lr:g}_l{self.lora_lr:g}_d{self.distillation:g}"

    @property
    def size(self) -> tuple[float, float, float]:
        """The values of `SIZE`."""
        return (self.projector_lr * self.lora_lr, self.distillation, self.projector_lr)


@dataclass(frozen=True, slots=True)
class SweepSegment:
    """What a job trains: a cell, from where it stands `until` so many steps are taken.

    Attributes:
        rung: of successive halving, from 1; None in a grid.
    """

    cell: Cell
    rung: int | None
    until: int


def cells(config: SweepConfig) -> list[Cell]:
    """Every combination, the smallest first."""
    axes = [list(enumerate(getattr(config, axis))) for axis in AXES]
    found = [Cell(p, lo, d, (i, j, k)) for (i, p), (j, lo), (k, d) in product(*axes)]
    return sorted(found, key=lambda cell: cell.size)


def neighbours(config: SweepConfig) -> list[tuple[Cell, Cell]]:
    """Pairs of cells that differ by one place on one axis."""
    return [
        (one, other)
        for one, other in combinations(cells(config), 2)
        if sum(abs(a - b) for a, b in zip(one.place, other.place, strict=True)) == 1
    ]


def stops(config: SweepConfig) -> list[int]:
    """Steps at which held-out rows are asked: every rung, and the end."""
    return [*config.rungs, config.steps]


def job_name(cell: Cell, rung: int | None) -> str:
    """The name of a job; a grid has no rungs."""
    return cell.name if rung is None else f"{cell.name}.r{rung}"


def rounds(config: SweepConfig) -> list[list[str]]:
    """Jobs, in the order in which they can be run: all of a round beside one another."""
    found = cells(config)
    if config.mode == "grid":
        return [[job_name(cell, None) for cell in found]]
    return [[job_name(cell, n) for cell in found] for n in range(1, len(stops(config)) + 1)]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """Seven cells share a process; a round waits for all of the round before it.

    Only then is it known which cells go on. They start before the jobs of 09, which are shorter.
    """
    found: list[JobGroup] = []
    before: tuple[str, ...] = ()
    for number, names in enumerate(rounds(config.sweep)):
        found += pack(names, 7, prefix=f"{number}_", after=before, priority=1)
        before = tuple(names)
    return found


def leg(config: SweepConfig, job: str) -> SweepSegment:
    """What a job trains.

    Raises:
        ConfigError: no such job.
    """
    known = {cell.name: cell for cell in cells(config)}
    found = JOB.fullmatch(job)
    cell = known.get(found["cell"]) if found else None
    rung = int(found["rung"]) if found and found["rung"] else None
    at = stops(config)
    fits = rung is None if config.mode == "grid" else rung is not None and 1 <= rung <= len(at)
    if cell is None or not fits:
        names = ", ".join(names[0] for names in rounds(config))
        raise ConfigError(f"no job {job!r}", hint=f"a job is named like {names}")
    return SweepSegment(cell, rung, at[-1] if rung is None else at[rung - 1])


def settings(config: RunConfig, cell: Cell) -> StageAConfig:
    """Training settings of a cell."""
    own = config.sweep
    return config.stage_a.model_copy(
        update={
            "steps": own.steps,
            "rows": own.rows,
            "batch_size": own.batch_size,
            **{axis: getattr(cell, axis) for axis in AXES},
        }
    )


def score(look: Mapping[str, float]) -> float:
    """What a rung ranks by: audio accuracy, less the loss of VL accuracy."""
    return look["audio_accuracy"] - max(0.0, look["vl_drop"])


def let_through(config: SweepConfig, looks: Mapping[str, Mapping[str, float] | None]) -> list[str]:
    """Names of the cells that go on from a rung, the smallest first.

    Args:
        looks: name -> what held-out rows of validation said there; None where a cell diverged.
    """
    alive = [cell.name for cell in cells(config) if looks.get(cell.name) is not None]
    wanted = max(1, math.ceil(config.keep * len(looks) - 1e-9))
    # Of equals the smaller goes on: the sort keeps their order.
    ranked = sorted(alive, key=lambda n: -score(looks[n] or {}))
    chosen = set(ranked[:wanted])
    return [name for name in alive if name in chosen]
