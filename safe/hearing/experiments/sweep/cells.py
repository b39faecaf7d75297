"""A cell of experiment 10: its results, and the numbers by which the judge selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safe.errors import EvidenceError
from safe.gates.schema import Candidate
from safe.gates.statistics import paired_difference
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.evaluation.stability import judge_curve, rising_share
from safe.hearing.experiments.sweep import CANDIDATES
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import (
    AXES,
    CHOSEN_ON,
    CONFIRMED_ON,
    ITEMS,
    SIZE,
    Cell,
    cells,
    job_name,
    settings,
    stops,
)
from safe.pipeline.job_results import read_job, read_rows

LEVEL = 0.95
BOUNDS = ("gain_low", "vl_drop_high", "behind_best_high")
Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class CellResult:
    """One cell: the result of its last job and its held-out results."""

    cell: Cell
    result: Mapping[str, Any]
    items: Items

    @property
    def whole(self) -> bool:
        """Whether the cell was trained to the end."""
        return not self.result["diverged"] and not self.result["dropped"]

    def of(self, kind: str, split: str | None = None) -> list[Mapping[str, Any]]:
        """Rows of a kind (`audio`, `vl`), for one split or both, in a fixed order."""
        found = [row for row in self.items if row["kind"] == kind and split in (None, row["split"])]
        return sorted(found, key=lambda row: row["id"])

    def accuracy(self, split: str | None = None) -> float:
        rows = self.of("audio", split)
        return sum(row["right"] for row in rows) / len(rows)


def read_cell(context: Context, cell: Cell) -> CellResult:
    """Read the last job in which a cell was trained.

    Raises:
        EvidenceError: a job was not run, or used other settings.
    """
    own = SweepSettings.of(context.config)
    halving = own.mode == "halving"
    names = [job_name(cell, n) for n in range(1, len(stops(own)) + 1)] if halving else [cell.name]
    last: CellResult | None = None
    for name in names:
        place, result = read_job(context, name)
        if result["settings"] != settings(context.config, cell).model_dump(mode="json"):
            raise EvidenceError(
                f"the cell {name!r} was trained with other settings than those in the config",
                where=place,
                hint=f"delete the folder and run `safe run-job 10_sweep {name} --config ...`",
            )
        if last is not None and result["dropped"]:
            return CellResult(cell, {**last.result, "dropped": True}, last.items)
        silent = result["diverged"] or result["dropped"]
        last = CellResult(cell, result, [] if silent else read_rows(place, ITEMS))
    assert last is not None
    return last


def row_of(config: RunConfig, swept: CellResult, best: CellResult | None) -> dict[str, Any]:
    """Table row of a cell."""
    cell, result = swept.cell, swept.result
    row: dict[str, Any] = {
        "cell": cell.name,
        **{axis: getattr(cell, axis) for axis in AXES},
        **dict(zip(SIZE, cell.size, strict=True)),
        "steps": len(result["losses"]),
        "dropped": bool(result["dropped"]),
        "diverged": result["diverged"],
        **_curve(result),
        "final_loss": result["losses"][-1] if result["losses"] else None,
        "accuracy": swept.accuracy() if swept.items else None,
        "vl_accuracy": _share(swept.of("vl"), "right"),
        "base_vl_accuracy": _share(swept.of("vl"), "base_right"),
        **dict.fromkeys((*BOUNDS, *(f"test_{name}" for name in BOUNDS))),
    }
    if swept.whole and best is not None:
        count = len(cells(SweepSettings.of(config)))
        row |= _bounds(config, swept, best, CHOSEN_ON, 1 - (1 - LEVEL) / count)
        confirmed = _bounds(config, swept, best, CONFIRMED_ON, LEVEL)
        row |= {f"test_{name}": value for name, value in confirmed.items()}
    return row


def as_candidates(table: Items) -> list[Candidate]:
    """The cells, for the judge to select the smallest."""
    values = CANDIDATES["combinations"]
    return [
        Candidate(
            name=row["cell"], values={v: row[v] for v in values}, note=row["diverged"] or None
        )
        for row in table
    ]


def _curve(result: Mapping[str, Any]) -> dict[str, float | None]:
    """What is wrong with the loss curve; None of a cell that diverged."""
    if result["diverged"] or len(result["losses"]) < 2:
        return {"faults": None, "rising": None}
    curve = judge_curve(result["losses"])
    return {"faults": curve.total, "rising": rising_share(result["losses"])}


def _share(rows: Items, column: str) -> float | None:
    return sum(bool(row[column]) for row in rows) / len(rows) if rows else None


def _bounds(
    config: RunConfig, swept: CellResult, best: CellResult, split: str, level: float
) -> dict[str, float | None]:
    """The bounds that decide, on one split; None if there are too few or too similar rows."""
    heard, seen, ideal = swept.of("audio", split), swept.of("vl", split), best.of("audio", split)

    def bound(ours: Items, mine: str, theirs: Items, other: str, side: str) -> float | None:
        try:
            interval = paired_difference(
                [float(row[mine]) for row in ours],
                [float(row[other]) for row in theirs],
                seed=config.seed,
                level=level,
                clusters=[row["source"] for row in ours],
                identical_outputs=ours is theirs and mine == other,
            )
        except ValueError:
            return None
        return float(getattr(interval, side))

    same = best.cell == swept.cell
    found = (
        bound(heard, "right", heard, "base_right", "low"),
        bound(seen, "base_right", seen, "right", "high"),
        0.0 if same else bound(ideal, "right", heard, "right", "high"),
    )
    return dict(zip(BOUNDS, found, strict=True))
