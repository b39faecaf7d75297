"""New pipelines and new experiments need no edit of existing files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.paths import ROOT

from .conftest import BIN, Dag

pytestmark = pytest.mark.dag


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dag:
    """A folder in which the default run belongs to the toy pipeline."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    dag = Dag(tmp_path / "toy", run_name="toy", configfile="config/toy.yaml")
    shutil.copytree(ROOT / "tests" / "toy" / "criteria", dag.folder / "config" / "toy" / "criteria")
    shutil.copy(ROOT / "tests" / "toy" / "pipeline.yaml", dag.folder / "config" / "toy")
    (dag.folder / "config" / "waivers.yaml").write_text("[]\n")
    values = {"run": "toy", "pipeline": "toy", "scale": "pocket", "seed": 0}
    (dag.folder / "config" / "toy.yaml").write_text(yaml.safe_dump(values))
    return dag


def safe(dag: Dag, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "safe", *arguments], cwd=dag.folder, capture_output=True, text=True, check=False
    )


def test_toy_pipeline_reaches_launch_and_can_be_signed(toy: Dag) -> None:
    done = toy.run()
    assert done.returncode == 0, done.stdout[-3000:]
    launch = toy.json("launch.json")
    assert (launch["verdict"], launch["scale"]) == ("GO", "pocket")
    assert set(launch["items"]) == {"parity", "metrics"}
    judged = toy.json("01_made_up", "decision.json")["criteria"][0]
    assert judged["scaled"] == {"plan": 0.95, "reason": judged["scaled"]["reason"]}
    page = toy.path("launch_checklist.html").read_text()
    assert "Toy launch" in page
    assert "The toy may be shipped." in page
    signed = safe(toy, "sign", "results/toy", "--name", "Ada")
    assert signed.returncode == 0, signed.stderr
    explained = safe(toy, "explain", "01", "--run", "results/toy")
    assert "01.share" in explained.stdout


def test_edited_threshold_rejudges_the_toy_run_and_stops_it(toy: Dag) -> None:
    assert toy.run().returncode == 0
    measured = toy.path("01_made_up", "measurement.json").stat().st_mtime_ns
    criteria = toy.folder / "config" / "toy" / "criteria" / "01_made_up.yaml"
    criteria.write_text(criteria.read_text().replace("threshold: 0.9,", "threshold: 0.99,"))
    stopped = toy.run()
    assert stopped.returncode != 0
    assert "01.share" in stopped.stdout
    assert toy.path("01_made_up", "measurement.json").stat().st_mtime_ns == measured
    assert toy.json("launch.json")["verdict"] == "NO-GO"


def test_edited_setting_remeasures_only_experiments_that_read_it(toy: Dag) -> None:
    assert toy.run().returncode == 0
    config = toy.folder / "config" / "toy.yaml"
    config.write_text(config.read_text() + "made_up: {items: 400}\n")
    assert toy.run().returncode == 0
    assert toy.json("01_made_up", "measurement.json")["metrics"][0]["n"] == 400
    assert toy.json("02_extra", "measurement.json")["metrics"][0]["n"] == 400
    before = json.dumps(toy.json("02_extra", "measurement.json"))
    config.write_text(config.read_text() + "paint: {colour: red}\n")  # no experiment reads it
    again = toy.run()
    assert "Nothing to be done" in again.stdout
    assert json.dumps(toy.json("02_extra", "measurement.json")) == before


def test_command_of_another_pipeline_is_refused(toy: Dag) -> None:
    refused = safe(toy, "prepare-data", "--config", "config/toy.yaml")
    assert refused.returncode == 2
    assert "pipeline 'toy'" in refused.stderr


# Experiment 13 of `hearing`: a folder and a criteria file.
INIT = """
from safe.hearing.experiments.refit.config import RefitSettings
from safe.pipeline.experiment import Experiment, JobGroup, MetricTable

METRICS: MetricTable = {"repeats": {"unit": "count", "low": 0, "high": None}}


def _plan_jobs(config):
    return [JobGroup(name, (name,)) for name in ("one", "two")]


EXPERIMENT = Experiment(
    settings=RefitSettings,
    reads=("refit",),
    job_reads=("refit",),
    inputs=("data",),
    jobs=_plan_jobs,
)
"""
CONFIG = """
from typing import ClassVar

from pydantic import Field

from safe.pipeline.config import Settings


class RefitSettings(Settings):
    section: ClassVar[str] = "refit"
    repeats: int = Field(default=3, gt=0)
"""
JOBS = """
from safe.hearing.experiments.refit.config import RefitSettings


def prepare(context, wanted):
    return RefitSettings.of(context.config).repeats


def run(context, job, repeats):
    return {"job": job, "repeats": repeats}
"""
MEASURE = """
from safe.gates.schema import Metric
from safe.hearing.context import Context
from safe.pipeline.job_results import read_job


def measure(context: Context) -> list[Metric]:
    found = [read_job(context, job)[1]["repeats"] for job in ("one", "two")]
    value = float(sum(found))
    return [Metric(name="repeats", value=value, unit="count", n=2, provenance="measured")]
"""
CRITERIA = """
experiment: 13_refit
title: Refit
objective: Fit once more
needs: [12_rl_gate]
optional: true
criteria:
  - id: 13.repeats
    claim: It was repeated
    metric: repeats
    op: ">="
    threshold: 6
    unit: count
    decide_on: exact
    min_n: 1
    rationale: Both jobs repeat as often as the settings say.
"""


def test_experiment_13_needs_only_a_folder_and_a_criteria_file(
    finished: Dag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = finished.clone(tmp_path / "dag")
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("safe", "workflow", "profiles"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, tree)
    folder = tree / "safe" / "hearing" / "experiments" / "refit"
    folder.mkdir()
    for name, text in (
        ("__init__", INIT),
        ("config", CONFIG),
        ("jobs", JOBS),
        ("measure", MEASURE),
    ):
        (folder / f"{name}.py").write_text(text)
    (dag.folder / "config" / "hearing" / "criteria" / "13_refit.yaml").write_text(CRITERIA)
    monkeypatch.setenv("PYTHONPATH", str(tree))
    command = [
        tree / "Snakefile" if word == str(ROOT / "Snakefile") else word for word in dag.command()
    ]
    done = subprocess.run(command, cwd=dag.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    ran = set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, flags=re.MULTILINE))
    assert {r for r in ran if r.startswith(("job_", "measure_", "prepare_"))} == {
        "job_13_one",
        "job_13_two",
        "measure_13",
    }
    assert dag.statuses()["13_refit"] == "go"
