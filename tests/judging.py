"""From an experiment's metrics to its decision, by the criteria of the repository."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safe.gates.criteria import load_criteria
from safe.gates.judge import judge
from safe.gates.schema import Decision, Measurement, Metric
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.pipeline import PIPELINE
from safe.pipeline.config import restrict
from safe.pipeline.definition import experiment_package, load_experiment
from safe.pipeline.runner import run_job
from tests.paths import ROOT

PACKAGE = "safe.hearing"
CRITERIA = ROOT / "config" / "hearing" / "criteria"


def run(config: RunConfig, experiment: str, folder: Path) -> tuple[Context, list[Metric]]:
    """Measure into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    declared = load_experiment(PACKAGE, experiment)
    sections = (*declared.reads, *PIPELINE.shared)
    context = Context(config=restrict(config, sections, experiment), folder=folder)
    module = importlib.import_module(f"{experiment_package(PACKAGE, experiment)}.measure")
    return context, module.measure(context)


@contextmanager
def put_right_again(folder: Path) -> Iterator[None]:
    """Whatever is done to `folder` meanwhile, it is as before afterwards."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def train_again(config: RunConfig, experiment: str, *jobs: str) -> None:
    """Train jobs anew, with whatever is planted by now."""
    for job in jobs:
        shutil.rmtree(config.folder / experiment / "jobs" / job)
        run_job(config, experiment, job)


def measurement_of(config: RunConfig, experiment: str, metrics: list[Metric]) -> Measurement:
    """As `safe measure` would write it, but for where it comes from."""
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


def decide(config: RunConfig, experiment: str, metrics: list[Metric]) -> Decision:
    """The judge's decision on `metrics`."""
    measurement = measurement_of(config, experiment, metrics)
    return judge(measurement, load_criteria(CRITERIA / f"{experiment}.yaml"), [], config.scale)


def verdicts(decision: Decision) -> dict[str, str]:
    """Criterion id -> verdict."""
    return {c.id: c.verdict for c in decision.criteria}
