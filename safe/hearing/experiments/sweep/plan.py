"""The grid of experiment 10: its cells, their order, and the cells that pass a rung.

In a grid, a job trains a cell to the end. In successive halving (Jamieson and Talwalkar 2016,
arXiv:1502.07943), a job trains a cell up to a rung, `NAME.r1`: it continues from the previous job,
or does nothing if the cell was dropped. Used by the Snakefile; needs no torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, StageAConfig
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.pipeline.experiment import JobGroup, pack

ITEMS = "items.parquet"
CHOSEN_ON, CONFIRMED_ON = "val", "test"  # splits for choosing a cell and for confirming it
AXES = ("projector_lr", "lora_lr", "distillation")
SIZE = ("rate_product", "distillation", "projector_lr")  # what makes a cell small, in this order
JOB = re.compile(r"(?P<cell>.+?)(?:\.r(?P<rung>\d+))?")


@dataclass(frozen=True, slots=True)
class Cell:
    """A combination of hyperparameters.

    Attributes:
        place: indices of its values on the three axes, in the order of `AXES`.
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
    """The training of one job: a cell, from its current step to step `until`.

    Attributes:
        rung: rung of successive halving, from 1; None in a grid.
    """

    cell: Cell
    rung: int | None
    until: int


def cells(config: SweepSettings) -> list[Cell]:
    """Every combination, smallest first."""
    axes = [list(enumerate(getattr(config, axis))) for axis in AXES]
    found = [Cell(p, lo, d, (i, j, k)) for (i, p), (j, lo), (k, d) in product(*axes)]
    return sorted(found, key=lambda cell: cell.size)


def neighbours(config: SweepSettings) -> list[tuple[Cell, Cell]]:
    """Pairs of cells that are adjacent on one axis and equal on the others."""
    return [
        (one, other)
        for one, other in combinations(cells(config), 2)
        if sum(abs(a - b) for a, b in zip(one.place, other.place, strict=True)) == 1
    ]


def stops(config: SweepSettings) -> list[int]:
    """Steps at which held-out examples are evaluated: every rung, and the end."""
    return [*config.rungs, config.steps]


def job_name(cell: Cell, rung: int | None) -> str:
    """Name of a job; `rung` is None in a grid."""
    return cell.name if rung is None else f"{cell.name}.r{rung}"


def rounds(config: SweepSettings) -> list[list[str]]:
    """Jobs by round; the jobs of a round can run in parallel."""
    found = cells(config)
    if config.mode == "grid":
        return [[job_name(cell, None) for cell in found]]
    return [[job_name(cell, n) for cell in found] for n in range(1, len(stops(config)) + 1)]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """Group the jobs, seven per process; each round waits for all of the previous round.

    The previous round decides which cells continue. The jobs start before those of 09, which are
    shorter.
    """
    found: list[JobGroup] = []
    before: tuple[str, ...] = ()
    for number, names in enumerate(rounds(SweepSettings.of(config))):
        found += pack(names, 7, prefix=f"{number}_", after=before, priority=1)
        before = tuple(names)
    return found


def segment_of(config: SweepSettings, job: str) -> SweepSegment:
    """Parse the name of a job.

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
    own = SweepSettings.of(config)
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


def let_through(
    config: SweepSettings, looks: Mapping[str, Mapping[str, float] | None]
) -> list[str]:
    """Return the names of the cells that pass a rung, smallest first.

    Args:
        looks: name -> validation results at the rung; None if the cell diverged.
    """
    alive = [cell.name for cell in cells(config) if looks.get(cell.name) is not None]
    wanted = max(1, math.ceil(config.keep * len(looks) - 1e-9))
    # The sort is stable, so the smaller of two equal cells passes.
    ranked = sorted(alive, key=lambda n: -score(looks[n] or {}))
    chosen = set(ranked[:wanted])
    return [name for name in alive if name in chosen]
