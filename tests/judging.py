"""Run an experiment and judge its metrics by the criteria of the repository."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from safe.gates.criteria import load_criteria
from safe.gates.judge import judge
from safe.gates.schema import Decision, Measurement, Metric
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.pipeline import PIPELINE
from safe.pipeline.config import restrict
from safe.pipeline.definition import experiment_package, load_experiment
from safe.pipeline.runner import run_job
from tests.faults import note
from tests.paths import ROOT

PACKAGE = "safe.hearing"
CRITERIA = ROOT / "config" / "hearing" / "criteria"


def run(config: RunConfig, experiment: str, folder: Path) -> tuple[Context, list[Metric]]:
    """Measure into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    declared = load_experiment(PACKAGE, experiment)
    sections = (*declared.reads, *PIPELINE.shared)
    seen = restrict(config, sections, experiment)
    context = Context(config=seen, folder=folder, experiment=experiment)
    module = importlib.import_module(f"{experiment_package(PACKAGE, experiment)}.measure")
    return context, module.measure(context)


@contextmanager
def restore_afterwards(folder: Path) -> Iterator[None]:
    """Restore `folder` to its initial state on exit."""
    backup = folder.with_name("kept")
    shutil.copytree(folder, backup)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        backup.rename(folder)


def retrain(config: RunConfig, experiment: str, *jobs: str) -> None:
    """Train jobs again, with the faults planted so far."""
    for job in jobs:
        shutil.rmtree(config.folder / experiment / "jobs" / job)
        run_job(config, experiment, job)


def measurement_of(config: RunConfig, experiment: str, metrics: list[Metric]) -> Measurement:
    """Wrap metrics as `safe measure` does, without provenance."""
    return Measurement(
        experiment=experiment,
        run=config.run,
        metrics=metrics,
        digests={},
        environment={},
        seeds={},
        started="2026-01-01T00:00:00+00:00",
        duration_s=0,
        device_s=0,
        peak_memory_bytes=0,
    )


def decide(
    config: RunConfig,
    experiment: str,
    metrics: list[Metric],
    context: Context | None = None,
    *,
    min_items: bool = False,
) -> Decision:
    """Judge metrics, and the candidates of `context`.

    Args:
        min_items: apply the criteria's `min_items`, which tiny runs do not satisfy.
    """
    measurement = measurement_of(config, experiment, metrics)
    if context is not None:
        measurement = measurement.model_copy(update={"candidates": context.candidates})
    criteria = load_criteria(config.criteria / f"{experiment}.yaml")
    if not min_items:
        relaxed = [c.model_copy(update={"min_items": None}) for c in criteria.criteria]
        criteria = criteria.model_copy(update={"criteria": relaxed})
    return note(judge(measurement, criteria, [], config.scale))


def with_limits(config: RunConfig, **limits: dict[str, float]) -> RunConfig:
    """Return the run with a copy of the criteria in which selections have other limits.

    Args:
        limits: selection -> value of a candidate -> threshold, at every scale.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="limits_", dir=config.folder)) / config.pipeline
    shutil.copytree(config.criteria.parent, folder)
    for path in (folder / "criteria").glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for rule in values.get("selections", []):
            for limit in (*rule["limits"], *rule.get("confirm", [])):
                if limit["value"] in limits.get(rule["name"], {}):
                    wanted = limits[rule["name"]][limit["value"]]
                    limit |= {"threshold": wanted, "scaled": {}}
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return config.model_copy(update={"criteria": folder / "criteria"})


def verdicts(decision: Decision) -> dict[str, str]:
    """Criterion id -> verdict."""
    return {c.id: c.verdict for c in decision.criteria}
