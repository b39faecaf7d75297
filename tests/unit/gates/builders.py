"""Builders of measurements and criteria for the tests of gates and report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from safe.gates.criteria import criteria_digest, load_criteria
from safe.gates.documents import read_measurement
from safe.gates.history import write_measurement
from safe.gates.schema import (
    CriteriaFile,
    Criterion,
    Interval,
    Measurement,
    Metric,
    Parent,
    Threshold,
)
from tests.paths import ROOT

CRITERIA = ROOT / "config" / "hearing" / "criteria"
NAMES = ["01_data_preflight", "02_base_parity", "03_tiny_overfit"]


def criterion(**changes: Any) -> Criterion:
    """A criterion `>= 0.9` on the lower bound, with changes."""
    values = {
        "id": "01.share",
        "claim": "Most of it works",
        "metric": "share",
        "op": ">=",
        "threshold": 0.9,
        "unit": "fraction",
        "decide_on": "ci_low",
        "min_n": 100,
        "rationale": "A criterion made for the tests only.",
    }
    return Criterion.model_validate(values | changes)


def criteria_of(*criteria: Criterion, name: str = "01_made_up", **changes: Any) -> CriteriaFile:
    """A criteria file with the given criteria."""
    values = {
        "experiment": name,
        "title": "Made up",
        "objective": "Try the judge",
        "needs": [],
        "criteria": [c.model_dump() for c in criteria],
    }
    return CriteriaFile.model_validate(values | changes)


def metric(value: float | None = 0.97, **changes: Any) -> Metric:
    """A metric that passes `criterion()`, with changes."""
    values: dict[str, Any] = {
        "name": "share",
        "value": value,
        "unit": "fraction",
        "n": 1000,
        "provenance": "measured",
        "ci": Interval(low=0.95, high=0.98, method="wilson"),
    }
    return Metric.model_validate(values | changes)


def measurement(
    *metrics: Metric, criteria: CriteriaFile, run: str = "trial", **changes: Any
) -> Measurement:
    """A measurement made under `criteria`."""
    values: dict[str, Any] = {
        "experiment": criteria.experiment,
        "run": run,
        "metrics": [m.model_dump() for m in metrics],
        "digests": {"criteria": criteria_digest(criteria), "data": "d" * 64},
        "environment": {"git_commit": "c" * 40, "git_dirty": False, "device": "cpu"},
        "seeds": {"run": 0},
        "started": "2026-01-02T03:04:05+00:00",
        "duration_s": 1.5,
        "device_s": 0.0,
        "peak_memory_bytes": 1000,
    }
    return Measurement.model_validate(values | changes)


def threshold_of(item: Criterion, scale: str = "miniature") -> Threshold:
    """The threshold that applies at this scale."""
    return item.scaled[scale].threshold if scale in item.scaled else item.threshold


def passing_value(item: Criterion) -> float:
    """A value that satisfies a criterion, with a margin where the operator allows one."""
    bound = threshold_of(item)
    if isinstance(bound, tuple):
        return (bound[0] + bound[1]) / 2
    if item.op == "==":
        return bound
    margin = min(0.02, abs(bound) / 2) if item.unit in ("fraction", "rho") else abs(bound) / 2
    return bound + margin if item.op in (">=", ">") else bound - margin


def failing_value(item: Criterion) -> float:
    """A value that misses a criterion's bound."""
    bound = threshold_of(item)
    if isinstance(bound, tuple):
        return bound[1] + 1
    if item.op == "==":
        return bound + 1 if item.unit == "count" else bound - 0.5
    away = max(abs(bound) / 2, 1e-9)
    return bound - away if item.op in (">=", ">") else bound + away


def metric_for(item: Criterion, value: float) -> Metric:
    """A measured metric with enough samples and a narrow interval around `value`."""
    return Metric(
        name=item.metric,
        value=value,
        unit=item.unit,
        n=max(item.min_n, 1000),
        provenance="measured",
        ci=Interval(low=value - 1e-4, high=value + 1e-4, method="wilson"),
    )


def passing_metrics(criteria: CriteriaFile) -> list[Metric]:
    """One passing metric for each criterion."""
    return [metric_for(c, passing_value(c)) for c in criteria.criteria]


def measure_again(run: Path, name: str, **changes: Any) -> None:
    """Replace fields of a measurement, as if it had been measured so."""
    document = read_measurement(run / name / "measurement.json").model_dump(mode="json")
    write_measurement(run, Measurement.model_validate(document | changes))


def write_config(folder: Path, waivers: Path, **changes: Any) -> None:
    """Write config.json of a run, with the keys that judging reads."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "run": folder.name,
        "pipeline": "hearing",
        "scale": "miniature",
        "seed": 3,
        "criteria": str(CRITERIA),
        "waivers": str(waivers),
        "world": {"root": "data/world", "seed": 7},
        "datasets": [{"name": "world_vqa"}],
        "base": {"miniature": "world"},
    }
    (folder / "config.json").write_text(json.dumps(values | changes), encoding="utf-8")


def make_run(
    folder: Path,
    *,
    names: list[str] = NAMES,
    replace: dict[str, Metric | None] | None = None,
    waivers: str = "[]\n",
) -> Path:
    """Measure and judge the experiments `names` of a run in order, all passing except `replace`.

    `replace` maps a criterion id to another metric, or to None for no metric.
    """
    from safe.gates.run import judge_experiment, open_gate_run

    file = folder.parent / f"{folder.name}-waivers.yaml"
    folder.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(waivers, encoding="utf-8")
    write_config(folder, file)
    gates = open_gate_run(folder)
    decided: dict[str, Parent] = {}
    for name in names:
        criteria = load_criteria(CRITERIA / f"{name}.yaml")
        metrics = []
        for item in criteria.criteria:
            chosen: Metric | None = metric_for(item, passing_value(item))
            if replace and item.id in replace:
                chosen = replace[item.id]
            if chosen is not None:
                metrics.append(chosen)
        made = measurement(
            *metrics,
            criteria=criteria,
            run=folder.name,
            upstream={need: decided[need] for need in criteria.needs},
        )
        write_measurement(folder, made)
        decision = judge_experiment(gates, name)
        decided[name] = Parent(
            decision=decision.digests["decision"],
            evidence=decision.digests["evidence"],
            verdict=decision.verdict,
        )
    return folder


TOY = ROOT / "tests" / "toy" / "pipeline.yaml"
TOY_ITEMS = ["parity", "metrics"]


def toy_criteria(folder: Path) -> Path:
    """An empty folder for criteria of the toy pipeline."""
    folder.mkdir(parents=True)
    shutil.copy(TOY, folder.parent)
    return folder


def copy_criteria(folder: Path) -> Path:
    """A copy of the pipeline's criteria to edit, next to pipeline.yaml."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(CRITERIA.parent / "pipeline.yaml", folder.parent)
    return Path(shutil.copytree(CRITERIA, folder))


def assume_seed_sd(folder: Path, *, item_sd: float, run_sd: float) -> Path:
    """A copy of the criteria in which 11.audio_sd assumes other standard deviations."""
    path = copy_criteria(folder) / "11_seeds.yaml"
    values = yaml.safe_load(path.read_text())
    found = next(c for c in values["criteria"] if c["id"] == "11.audio_sd")
    found["power"] |= {"item_sd": item_sd, "run_sd": run_sd}
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return folder


# Measured on three seeds before the miniature's weights were released: 94.79, 95.71 and 95.60 % of
# 1,841 questions.
UNDERPOWERED = {"item_sd": 0.103, "run_sd": 0.0045}
