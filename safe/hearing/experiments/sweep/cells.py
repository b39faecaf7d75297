"""A cell of experiment 10: what it said, and whether it meets the criteria of Stage A."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from safe.errors import EvidenceError
from safe.gates.statistics import paired_difference
from safe.hearing.config import RunConfig, SweepConfig
from safe.hearing.context import Context
from safe.hearing.evaluation.stability import judge_curve, rising_share
from safe.hearing.experiments.sweep.plan import (
    AXES,
    CHOSEN_ON,
    CONFIRMED_ON,
    ITEMS,
    Cell,
    cells,
    job_name,
    settings,
    stops,
)
from safe.hearing.experiments.targets import TARGET_GAIN
from safe.pipeline.job_results import read_job, read_rows

LEVEL = 0.95
MAX_RISING = 0.25  # of a curve's way: beyond it the curve swings more than it falls
Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Swept:
    """One cell: the result of its last job, and what its held-out rows said then."""

    cell: Cell
    result: Mapping[str, Any]
    items: Items

    @property
    def whole(self) -> bool:
        """It was trained to the end."""
        return not self.result["diverged"] and not self.result["dropped"]

    def of(self, kind: str, split: str | None = None) -> list[Mapping[str, Any]]:
        """Rows of a kind (`audio`, `vl`), of one split or of both, in a fixed order."""
        found = [row for row in self.items if row["kind"] == kind and split in (None, row["split"])]
        return sorted(found, key=lambda row: row["id"])

    def accuracy(self, split: str | None = None) -> float:
        rows = self.of("audio", split)
        return sum(row["right"] for row in rows) / len(rows)


def read_cell(context: Context, cell: Cell) -> Swept:
    """The last job of a cell that was trained.

    Raises:
        EvidenceError: a job was not run, or is of other settings.
    """
    own = context.config.sweep
    halving = own.mode == "halving"
    names = [job_name(cell, n) for n in range(1, len(stops(own)) + 1)] if halving else [cell.name]
    last: Swept | None = None
    for name in names:
        place, result = read_job(context, name)
        if result["settings"] != settings(context.config, cell).model_dump(mode="json"):
            raise EvidenceError(
                f"the cell {name!r} was trained with other settings than the config has now",
                where=place,
                hint=f"delete the folder and run `safe run-job 10_sweep {name} --config ...`",
            )
        if last is not None and result["dropped"]:
            return Swept(cell, {**last.result, "dropped": True}, last.items)
        silent = result["diverged"] or result["dropped"]
        last = Swept(cell, result, [] if silent else read_rows(place, ITEMS))
    assert last is not None
    return last


def row_of(config: RunConfig, swept: Swept, best: Swept | None) -> dict[str, Any]:
    """A cell in one line."""
    cell, result = swept.cell, swept.result
    why = _why_unstable(config, result)
    row: dict[str, Any] = {
        "cell": cell.name,
        **{axis: getattr(cell, axis) for axis in AXES},
        "steps": len(result["losses"]),
        "dropped": bool(result["dropped"]),
        "stable": not why,
        "why_unstable": why,
        "final_loss": result["losses"][-1] if result["losses"] else None,
        "accuracy": swept.accuracy() if swept.items else None,
        "vl_accuracy": _share(swept.of("vl"), "right"),
        "base_vl_accuracy": _share(swept.of("vl"), "base_right"),
        "gain_low": None,
        "vl_drop_high": None,
        "behind_best_high": None,
        "meets": False,
    }
    if swept.whole and best is not None:
        count = len(cells(config.sweep))
        row |= _bounds(config, swept, best, CHOSEN_ON, 1 - (1 - LEVEL) / count)
        row["meets"] = row["stable"] and _within(config.sweep, row)
    return row


def _why_unstable(config: RunConfig, result: Mapping[str, Any]) -> str:
    """What is wrong with the loss curve; empty where nothing is."""
    if result["diverged"]:
        return str(result["diverged"])
    curve = judge_curve(result["losses"], mads=config.pilot.spike_mads)
    rising = rising_share(result["losses"])
    found = [
        f"spikes at steps {', '.join(map(str, curve.spikes[:5]))}" if curve.spikes else "",
        "the end lies above the beginning" if curve.diverged else "",
        f"{rising:.0%} of its way leads upwards" if rising > MAX_RISING else "",
    ]
    return "; ".join(text for text in found if text)


def _share(rows: Items, column: str) -> float | None:
    return sum(bool(row[column]) for row in rows) / len(rows) if rows else None


def _bounds(
    config: RunConfig, swept: Swept, best: Swept, split: str, level: float
) -> dict[str, float | None]:
    """The bounds that decide, on one split; None where the rows are too few or too alike."""
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
    return {
        "gain_low": bound(heard, "right", heard, "base_right", "low"),
        "vl_drop_high": bound(seen, "base_right", seen, "right", "high"),
        "behind_best_high": 0.0 if same else bound(ideal, "right", heard, "right", "high"),
    }


def _within(own: SweepConfig, bounds: Mapping[str, Any]) -> bool:
    gain, drop, behind = (bounds[n] for n in ("gain_low", "vl_drop_high", "behind_best_high"))
    if gain is None or drop is None or behind is None:
        return False
    return bool(gain >= TARGET_GAIN and drop <= own.max_vl_drop and behind <= own.margin)


def confirm(config: RunConfig, selected: Swept, best: Swept) -> dict[str, Any]:
    """The chosen cell on rows that the choice has not seen."""
    bounds = _bounds(config, selected, best, CONFIRMED_ON, LEVEL)
    return {**bounds, "confirmed": _within(config.sweep, bounds)}
