"""Check that criteria use measured metrics, their units, and reachable thresholds.

An experiment declares, as a literal at top level of its module,
`METRICS = {"name": {"unit": "fraction", "low": 0.0, "high": 1.0}}`, and, if its criteria select
among candidates, `CANDIDATES = {"cells": ("gain_low", "parameters")}`. Both are read without
importing the module, so the check takes milliseconds and does not import torch.
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
from safe.gates.schema import Bound, CriteriaFile, Criterion, Op


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """Unit of a metric and the range of its values."""

    unit: str
    low: float = -math.inf
    high: float = math.inf


@cache
def experiments_folder(package: str) -> Path:
    """Return the folder of a pipeline's experiments, without importing the package.

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
    """Return the path of an experiment's module, which may not exist."""
    return experiments_folder(package) / experiment[3:] / "__init__.py"


def read_metrics(path: Path) -> dict[str, MetricSpec]:
    """Read the `METRICS` literal of an experiment module.

    Raises:
        ConfigError: it is missing or not a literal, or an entry has no unit.
    """
    node = _assignment(path, "METRICS")
    if node is None:
        raise ConfigError(
            "the module declares no METRICS",
            where=path,
            hint='add METRICS = {"name": {"unit": "fraction", "low": 0, "high": 1}} at top level',
        )
    hint = 'each entry is "name": {"unit": str, "low": number or None, "high": number or None}'
    try:
        return {
            name: MetricSpec(
                unit=str(entry["unit"]),
                low=-math.inf if entry.get("low") is None else float(entry["low"]),
                high=math.inf if entry.get("high") is None else float(entry["high"]),
            )
            for name, entry in _literal(node).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"METRICS cannot be read: {error!r}", where=path, line=node.lineno, hint=hint
        ) from None


def read_candidates(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the `CANDIDATES` literal of an experiment module: table -> values of each candidate.

    Raises:
        ConfigError: it is not a literal of this form.
    """
    node = _assignment(path, "CANDIDATES")
    if node is None:
        return {}
    try:
        return {str(name): tuple(map(str, values)) for name, values in _literal(node).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"CANDIDATES cannot be read: {error!r}",
            where=path,
            line=node.lineno,
            hint='each entry is "table": ("value", "value")',
        ) from None


def _assignment(path: Path, name: str) -> ast.Assign | ast.AnnAssign | None:
    """Return the top-level assignment to `name` in a module, without importing the module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return node
    return None


def _literal(node: ast.Assign | ast.AnnAssign) -> Any:
    if node.value is None:
        raise ValueError("no value is assigned")
    return ast.literal_eval(node.value)


def reachable(op: Op, threshold: float | tuple[float, float], low: float, high: float) -> bool:
    """Return whether a value within [low, high] can satisfy `op threshold`."""
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
    """Return (key, what is wrong, hint) of one criterion; empty strings if it is valid."""
    if criterion.metric not in metrics:
        near = difflib.get_close_matches(criterion.metric, metrics, n=1, cutoff=0)
        return (
            "metric",
            f"{criterion.id}: the experiment does not measure {criterion.metric!r}",
            f"did you mean `{near[0]}`?" if near else "METRICS of the module is empty",
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
                f"{criterion.metric} is between {_show(spec.low)} and {_show(spec.high)}",
                f"give a threshold in {criterion.unit} within that range",
            )
    return "", "", ""


def _scale_fault(criterion: Criterion, pipeline: PipelineFile) -> tuple[str, str, str]:
    """Same as `_fault`, for the scales that a criterion names."""
    hint = f"the pipeline has {', '.join(pipeline.scales)}"
    what = _scaled_fault(criterion, pipeline)
    if what:
        return "scaled", f"{criterion.id}: {what}", hint
    scale_of_power = criterion.power and criterion.power.scale
    if scale_of_power is not None and scale_of_power not in pipeline.scales:
        return "power.scale", f"{criterion.id}: no scale {scale_of_power!r}", hint
    return "", "", ""


def _scaled_fault(bound: Bound, pipeline: PipelineFile) -> str:
    for scale in bound.scaled:
        if scale == PLAN:
            return f"{PLAN} has the unscaled threshold; delete the entry"
        if scale not in pipeline.scales:
            return f"no scale {scale!r}"
    return ""


def _check_selections(path: Path, criteria: CriteriaFile, pipeline: PipelineFile) -> None:
    """Check that selections use candidates and values that the experiment declares.

    Raises:
        ConfigError: a selection is invalid; names file, line, selection and hint.
    """
    offered = read_candidates(module_path(pipeline.package, criteria.experiment))
    for index, rule in enumerate(criteria.selections):
        limits = [*rule.limits, *rule.confirm]
        named = [*(li.value for li in limits), *(p.value for p in rule.prefer)]
        named += [p.within for p in rule.prefer if p.within]
        faults = [text for text in (_scaled_fault(li, pipeline) for li in limits) if text]
        hint = f"the pipeline has {', '.join(pipeline.scales)}"
        if sum(rule.name == other.name for other in criteria.selections) > 1:
            faults, hint = ["its name occurs twice"], "give every selection its own name"
        elif rule.candidates not in offered:
            near = ", ".join(offered) or "none"
            faults, hint = [f"no candidates {rule.candidates!r}"], f"the experiment declares {near}"
        else:
            known = offered[rule.candidates]
            unknown = [value for value in named if value not in known]
            if unknown:
                near = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0)[0]
                faults = [f"the candidates {rule.candidates!r} have no value {unknown[0]!r}"]
                hint = f"did you mean `{near}`?"
        if faults:
            raise ConfigError(
                f"{rule.name}: {faults[0]}",
                where=path,
                line=line_of(path, ("selections", index)),
                key="selections",
                hint=hint,
            )


def _show(value: float | tuple[float, float]) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}"


def check_file(path: Path, criteria: CriteriaFile, pipeline: PipelineFile) -> None:
    """Check one criteria file against its pipeline and its experiment's module.

    Raises:
        ConfigError: the file is invalid; names file, line, criterion and hint.
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
    _check_selections(path, criteria, pipeline)


def check_criteria(folder: Path) -> list[CriteriaFile]:
    """Load every criteria file and check it against its experiment.

    Returns:
        The files, sorted by number.

    Raises:
        ConfigError: a file is invalid; names file, line, criterion and hint.
    """
    files, pipeline = load_all(folder), load_pipeline(folder)
    for criteria in files:
        check_file(folder / f"{criteria.experiment}.yaml", criteria, pipeline)
    return files
