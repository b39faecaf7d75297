"""10 on a tiny run: 27 cells, the selection among them, and successive halving."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from safe.errors import ConfigError, EvidenceError, TrainingError
from safe.hearing.experiments import training_setup
from safe.hearing.experiments.sweep.measure import METRICS
from safe.hearing.experiments.sweep.plan import cells, job_name, let_through, rounds, segment_of
from safe.hearing.training.stage_a import StageA
from safe.pipeline.runner import run_job, run_jobs
from tests.judging import decide, run, verdicts, with_limits
from tests.tiny_curriculum import teacher_forced
from tests.tiny_sweep import changed

EXPERIMENT = "10_sweep"


@pytest.fixture
def config(trained_sweep_run, monkeypatch):
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    return trained_sweep_run


@pytest.fixture(scope="module")
def measured(trained_sweep_run):
    return run(trained_sweep_run, EXPERIMENT, trained_sweep_run.folder / EXPERIMENT)


def test_learning_cells_are_selected(config, measured):
    decision = decide(config, EXPERIMENT, measured[1], measured[0])
    found = verdicts(decision)
    assert found["10.selected"] == "pass", decision
    assert found["10.stable_curves"] == "pass", decision
    assert "10.halving" in found
    assert len(measured[0].plots) == 1


def test_metrics_can_be_recomputed_from_the_evidence(config, measured):
    derived = {"selected", "stable_curves"}
    assert {metric.name for metric in measured[1]} == set(METRICS) - derived
    selection = decide(config, EXPERIMENT, measured[1], measured[0]).selections["selected"]
    table = pq.read_table(config.folder / EXPERIMENT / "cells.parquet").to_pylist()
    assert [row["cell"] for row in table] == [cell.name for cell in cells(config.sweep)]
    eligible = selection.within
    assert selection.selected == eligible[0]  # the table starts with the smallest learning rates
    for row in table:
        assert row["cell"] not in eligible or row["gain_low"] >= 0.03
    items = pq.read_table(
        config.folder / EXPERIMENT / "jobs" / eligible[0] / "items.parquet"
    ).to_pylist()
    audio = [row["right"] for row in items if row["kind"] == "audio"]
    assert table[[r["cell"] for r in table].index(eligible[0])]["accuracy"] == pytest.approx(
        sum(audio) / len(audio)
    )
    assert {(row["kind"], row["split"]) for row in items} == {
        (kind, split) for kind in ("audio", "vl") for split in ("val", "test")
    }


def test_cells_are_evaluated_at_every_rung(config):
    for names in rounds(config.sweep):
        for name in names:
            path = config.folder / EXPERIMENT / "jobs" / name / "result.json"
            result = json.loads(path.read_text())
            assert [look["step"] for look in result["looks"]] == [20, 40, 60]
            assert len(result["losses"]) == 60


def test_halving_drops_the_replayed_cells_and_trains_the_rest_identically(config, tmp_path):
    """Dropped cells are those of the replay; the remaining ones equal the grid's bit for bit."""
    halved = changed(config, mode="halving").model_copy(update={"results": tmp_path / "results"})
    shutil.copytree(config.folder / "data", halved.folder / "data")
    shutil.copy(config.folder / "base.json", halved.folder / "base.json")
    for names in rounds(halved.sweep):
        run_jobs(halved, EXPERIMENT, names)
    jobs = config.folder / EXPERIMENT / "jobs"
    whole = {
        cell.name: json.loads((jobs / cell.name / "result.json").read_text())
        for cell in cells(config.sweep)
    }
    alive = list(whole)
    for place in (0, 1):
        alive = let_through(config.sweep, {name: whole[name]["looks"][place] for name in alive})
    assert len(alive) == 3
    for cell in cells(config.sweep):
        mine = halved.folder / EXPERIMENT / "jobs" / job_name(cell, 3)
        result = json.loads((mine / "result.json").read_text())
        assert result["dropped"] == (cell.name not in alive)
        if cell.name in alive:
            assert result["losses"] == whole[cell.name]["losses"]
            assert result["looks"] == whole[cell.name]["looks"]
            ours, theirs = (pq.read_table(p / "items.parquet") for p in (mine, jobs / cell.name))
            assert ours == theirs
    assert not list(halved.folder.rglob("*.state"))
    context, metrics = run(halved, EXPERIMENT, halved.folder / EXPERIMENT)
    decision = decide(halved, EXPERIMENT, metrics, context)
    assert decision.selections["selected"].candidates == 27
    assert decision.selections["selected"].selected in alive
    assert verdicts(decision)["10.halving"] == "unavailable"


def test_changed_limits_select_again_without_measuring(config, measured):
    """The measurement stays; a metric of the previously selected candidate becomes unavailable."""
    context, metrics = measured
    before = decide(config, EXPERIMENT, metrics, context).selections["selected"]
    highest = max(row.values["gain_low"] or 0 for row in context.candidates["combinations"].rows)
    strict = with_limits(config, selected={"gain_low": highest, "test_gain_low": -1.0})
    after = decide(strict, EXPERIMENT, metrics, context)
    assert after.selections["selected"].selected is not None
    assert after.selections["selected"].selected != before.selected
    assert verdicts(after)["10.halving"] == "unavailable"


def test_killed_cell_resumes_identically(config, tmp_path, monkeypatch):
    name = rounds(config.sweep)[0][0]
    own = config.model_copy(update={"results": tmp_path / "results"})
    shutil.copytree(config.folder / "data", own.folder / "data")
    shutil.copy(config.folder / "base.json", own.folder / "base.json")
    values = own.stage_a.model_copy(update={"checkpoint_every": 15})
    own = own.model_copy(update={"stage_a": values})
    real = StageA.make

    def killed(self, numbers, whole, step):
        if step == 50:
            raise KeyboardInterrupt
        return real(self, numbers, whole, step)

    monkeypatch.setattr(StageA, "make", killed)
    with pytest.raises(KeyboardInterrupt):
        run_job(own, EXPERIMENT, name)
    monkeypatch.setattr(StageA, "make", real)
    path = run_job(own, EXPERIMENT, name)
    result = json.loads(path.read_text())
    whole = json.loads((config.folder / EXPERIMENT / "jobs" / name / "result.json").read_text())
    assert result["losses"] == whole["losses"]
    assert result["looks"] == whole["looks"]


def test_diverged_cell_is_recorded(config, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise TrainingError("the loss is nan at step 3", hint="lower the learning rates")

    monkeypatch.setattr(StageA, "make", broken)
    own = config.model_copy(update={"results": tmp_path / "results"})
    shutil.copytree(config.folder / "data", own.folder / "data")
    shutil.copy(config.folder / "base.json", own.folder / "base.json")
    path = run_job(own, EXPERIMENT, rounds(config.sweep)[0][0])
    assert "nan" in json.loads(path.read_text())["diverged"]


def test_missing_job_or_other_settings_are_named(config, tmp_path):
    with pytest.raises(EvidenceError, match="was not run"):
        run(config, EXPERIMENT, tmp_path / "nowhere")
    other = changed(config, batch_size=8)
    with pytest.raises(EvidenceError, match="other settings"):
        run(other, EXPERIMENT, config.folder / EXPERIMENT)


def test_unknown_job_is_refused(config):
    with pytest.raises(ConfigError, match="no job"):
        run_job(config, EXPERIMENT, "other")
    assert segment_of(config.sweep, rounds(config.sweep)[0][0]).rung is None


def test_so_few_questions_are_inconclusive(config, measured):
    context, metrics = measured
    judged = decide(config, EXPERIMENT, metrics, context, min_items=True).criteria
    found = next(c for c in judged if c.id == "10.selected")
    assert found.verdict == "inconclusive"
    assert 0 < found.items < 300
