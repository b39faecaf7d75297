"""Do the criteria ask for something that is measured, in its unit, and within reach?

An experiment module declares, as a literal at top level,
`METRICS = {"name": {"unit": "fraction", "low": 0.0, "high": 1.0}}`. It is read without importing
the module, so that the check costs milliseconds and no torch.
"""

from __future__ import annotations

import ast
import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safe.digest import PACKAGE
from safe.errors import ConfigError
from safe.gates.criteria import line_of, load_all
from safe.gates.launch import LAUNCH_ITEMS
from safe.gates.schema import CriteriaFile, Criterion, Op

EXPERIMENTS = PACKAGE / "hearing" / "experiments"  # 03_tiny_overfit is measured by tiny_overfit.py
RULES = PACKAGE.parent / "workflow" / "rules"

# Where no module declares a range, the unit still bounds the value. A fraction may be a difference.
UNIT_RANGES: dict[str, tuple[float, float]] = {
    "fraction": (-1.0, 1.0),
    "count": (0.0, math.inf),
    "parameters": (0.0, math.inf),
    "seconds": (0.0, math.inf),
    "rho": (-1.0, 1.0),
    "auroc": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a module says of a metric: its unit and the range of values it can take."""

    unit: str
    low: float = -math.inf
    high: float = math.inf


def module_path(experiment: str) -> Path:
    """The file of an experiment's module, whether or not it exists."""
    return EXPERIMENTS / f"{experiment[3:]}.py"


def is_built(experiment: str) -> bool:
    """Whether a module measures the experiment, and a rule of the run has it measured."""
    return module_path(experiment).is_file() and (RULES / f"{experiment}.smk").is_file()


def read_metrics(path: Path) -> dict[str, MetricSpec]:
    """The `METRICS` literal of an experiment module.

    Raises:
        ConfigError: there is none, it is no literal, or an entry lacks its unit.
    """
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(t, ast.Name) and t.id == "METRICS" for t in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return _parse_metrics(path, node)
    raise ConfigError(
        "the module declares no METRICS",
        where=path,
        mend='add METRICS = {"name": {"unit": "fraction", "low": 0.0, "high": 1.0}} at top level',
    )


def _parse_metrics(path: Path, node: ast.Assign | ast.AnnAssign) -> dict[str, MetricSpec]:
    mend = 'each entry is "name": {"unit": str, "low": number or None, "high": number or None}'
    try:
        assert node.value is not None
        literal: Any = ast.literal_eval(node.value)
        return {
            name: MetricSpec(
                unit=str(entry["unit"]),
                low=-math.inf if entry.get("low") is None else float(entry["low"]),
                high=math.inf if entry.get("high") is None else float(entry["high"]),
            )
            for name, entry in literal.items()
        }
    except (AssertionError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"METRICS cannot be read: {error!r}", where=path, line=node.lineno, mend=mend
        ) from None


def reachable(op: Op, threshold: float | tuple[float, float], low: float, high: float) -> bool:
    """Can a value within [low, high] satisfy `op threshold`?"""
    if isinstance(threshold, tuple):
        return threshold[0] <= high and threshold[1] >= low
    return {
        ">=": high >= threshold,
        ">": high > threshold,
        "<=": low <= threshold,
        "<": low < threshold,
        "==": low <= threshold <= high,
        "between": False,
    }[op]


def _fault(criterion: Criterion, metrics: dict[str, MetricSpec] | None) -> tuple[str, str, str]:
    """(key, what is wrong, mend) of one criterion; `what` is empty where all is well."""
    spec = MetricSpec(criterion.unit, *UNIT_RANGES.get(criterion.unit, (-math.inf, math.inf)))
    if metrics is not None:
        if criterion.metric not in metrics:
            near = difflib.get_close_matches(criterion.metric, metrics, n=1, cutoff=0)
            return (
                "metric",
                f"{criterion.id}: nobody measures {criterion.metric!r}",
                f"did you mean `{near[0]}`?" if near else "the module measures nothing",
            )
        spec = metrics[criterion.metric]
        if spec.unit != criterion.unit:
            return (
                "unit",
                f"{criterion.id}: {criterion.metric} is measured in {spec.unit!r}, "
                f"not in {criterion.unit!r}",
                f"write unit: {spec.unit}, and a threshold in it",
            )
    thresholds = {"threshold": criterion.threshold}
    thresholds |= {f"scaled.{k}.threshold": s.threshold for k, s in criterion.scaled.items()}
    for key, threshold in thresholds.items():
        if not reachable(criterion.op, threshold, spec.low, spec.high):
            return (
                key,
                f"{criterion.id}: no value can reach {criterion.op} {_show(threshold)}, "
                f"{criterion.metric} lies between {_show(spec.low)} and {_show(spec.high)}",
                f"give a threshold in {criterion.unit} within that range",
            )
    return "", "", ""


def _show(value: float | tuple[float, float]) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"


def check_file(path: Path, criteria: CriteriaFile) -> None:
    """Hold one criteria file against its experiment's module, if that exists yet.

    Raises:
        ConfigError: naming file, line, criterion and mend.
    """
    for item in criteria.launch_items:
        if item not in LAUNCH_ITEMS:
            near = difflib.get_close_matches(item, LAUNCH_ITEMS, n=1)
            raise ConfigError(
                f"no launch item {item!r}" + (f"; did you mean `{near[0]}`?" if near else ""),
                where=path,
                line=line_of(path, ("launch_items",)),
                key="launch_items",
                mend=f"use {', '.join(LAUNCH_ITEMS)}",
            )
    module = module_path(criteria.experiment)
    metrics = read_metrics(module) if module.is_file() else None
    for index, criterion in enumerate(criteria.criteria):
        key, what, mend = _fault(criterion, metrics)
        if what:
            location: tuple[int | str, ...] = ("criteria", index, *key.split("."))
            raise ConfigError(what, where=path, line=line_of(path, location), key=key, mend=mend)


def check_criteria(folder: Path) -> list[CriteriaFile]:
    """Load every criteria file and check it against what is measured.

    Returns:
        The files by number. Experiments without a module yet are checked by unit alone.

    Raises:
        ConfigError: naming file, line, criterion and mend.
    """
    files = load_all(folder)
    for criteria in files:
        check_file(folder / f"{criteria.experiment}.yaml", criteria)
    return files
