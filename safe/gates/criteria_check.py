"""Do the criteria ask for something that is measured, in its unit, and within reach?

An experiment declares, as a literal at top level of its module,
`METRICS = {"name": {"unit": "fraction", "low": 0.0, "high": 1.0}}`. It is read without importing
the module, so that the check costs milliseconds and no torch.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.gates.criteria import line_of, load_all
from safe.gates.pipeline import PLAN, PipelineFile, load_pipeline
from safe.gates.schema import CriteriaFile, Criterion, Op


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a module says of a metric: its unit and the range of values it can take."""

    unit: str
    low: float = -math.inf
    high: float = math.inf


@cache
def experiments_folder(package: str) -> Path:
    """The folder of a pipeline's experiments; the package is not imported.

    Raises:
        ConfigError: there is no such package, or it has no `experiments`.
    """
    try:
        spec = importlib.util.find_spec(f"{package}.experiments")
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"there is no package {package}.experiments",
            key="package",
            hint="correct `package` in pipeline.yaml, or install the package",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def module_path(package: str, experiment: str) -> Path:
    """The file of an experiment's module, whether or not it exists."""
    return experiments_folder(package) / experiment[3:] / "__init__.py"


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
        hint='add METRICS = {"name": {"unit": "fraction", "low": 0.0, "high": 1.0}} at top level',
    )


def _parse_metrics(path: Path, node: ast.Assign | ast.AnnAssign) -> dict[str, MetricSpec]:
    hint = 'each entry is "name": {"unit": str, "low": number or None, "high": number or None}'
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
            f"METRICS cannot be read: {error!r}", where=path, line=node.lineno, hint=hint
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


def _fault(criterion: Criterion, metrics: dict[str, MetricSpec]) -> tuple[str, str, str]:
    """(key, what is wrong, hint) of one criterion; `what` is empty where all is well."""
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


def _scale_fault(criterion: Criterion, pipeline: PipelineFile) -> tuple[str, str, str]:
    """The same for the scales that a criterion names."""
    hint = f"the pipeline has {', '.join(pipeline.scales)}"
    for scale in criterion.scaled:
        if scale == PLAN:
            what = f"{criterion.id}: {PLAN} has the unscaled threshold"
            return "scaled", what, "delete the entry"
        if scale not in pipeline.scales:
            return "scaled", f"{criterion.id}: no scale {scale!r}", hint
    scale_of_power = criterion.power and criterion.power.scale
    if scale_of_power is not None and scale_of_power not in pipeline.scales:
        return "power.scale", f"{criterion.id}: no scale {scale_of_power!r}", hint
    return "", "", ""


def _show(value: float | tuple[float, float]) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"


def check_file(path: Path, criteria: CriteriaFile, pipeline: PipelineFile) -> None:
    """Check one criteria file against its pipeline and its experiment's module.

    Raises:
        ConfigError: naming file, line, criterion and hint.
    """
    for item in criteria.launch_items:
        if item not in pipeline.launch_items:
            near = difflib.get_close_matches(item, pipeline.launch_items, n=1)
            raise ConfigError(
                f"no launch item {item!r}" + (f"; did you mean `{near[0]}`?" if near else ""),
                where=path,
                line=line_of(path, ("launch_items",)),
                key="launch_items",
                hint=f"use {', '.join(pipeline.launch_items)}",
            )
    module = module_path(pipeline.package, criteria.experiment)
    if not module.is_file():
        raise ConfigError(
            f"no experiment of {pipeline.package} measures {criteria.experiment!r}",
            where=path,
            key="experiment",
            hint=f"add {module}, or delete the criteria file",
        )
    metrics = read_metrics(module)
    for index, criterion in enumerate(criteria.criteria):
        key, what, hint = _fault(criterion, metrics)
        if not what:
            key, what, hint = _scale_fault(criterion, pipeline)
        if what:
            location: tuple[int | str, ...] = ("criteria", index, *key.split("."))
            raise ConfigError(what, where=path, line=line_of(path, location), key=key, hint=hint)


def check_criteria(folder: Path) -> list[CriteriaFile]:
    """Load every criteria file and check it against what is measured.

    Returns:
        The files by number.

    Raises:
        ConfigError: naming file, line, criterion and hint.
    """
    files, pipeline = load_all(folder), load_pipeline(folder)
    for criteria in files:
        check_file(folder / f"{criteria.experiment}.yaml", criteria, pipeline)
    return files
