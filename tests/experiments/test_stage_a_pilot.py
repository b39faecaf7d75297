"""04 on a tiny run: jobs are trained, compared with the base, and plotted."""

import json
from dataclasses import replace

import pytest

from safe.errors import ConfigError, EvidenceError
from safe.gates.schema import Candidates
from safe.hearing.experiments.stage_a_pilot.jobs import plan
from safe.pipeline.runner import run_job, run_jobs
from tests.judging import decide, run, verdicts
from tests.tiny_run import make_pilot_run

EXPERIMENT = "04_stage_a_pilot"
JOBS = ("distilled", "undistilled", "k3_r16")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = make_pilot_run(tmp_path_factory.mktemp("run"))
    run_jobs(config, EXPERIMENT, JOBS)
    return config


@pytest.fixture(scope="module")
def measured(config):
    return run(config, EXPERIMENT, config.folder / EXPERIMENT)


@pytest.fixture(scope="module")
def metrics(measured):
    return {metric.name: metric for metric in measured[1]}


def test_audio_criteria_pass_and_vl_drop_does_not_fail(config, measured):
    found = verdicts(decide(config, EXPERIMENT, measured[1], measured[0]))
    for name in ("audio_gain", "audio_over_majority", "audio_needed", "stable", "latency_full"):
        assert found[f"04.{name}"] == "pass", name
    assert found["04.vl_drop"] != "fail"


def test_gate_off_equals_the_base_on_every_answer(metrics):
    drop = metrics["vl_drop"]
    assert drop.value == 0
    assert (drop.ci.low, drop.ci.high) == (0, 0)
    assert drop.detail["answers_that_differ"] == 0


def test_every_job_has_a_result_and_no_leftover_checkpoint(config):
    for job in JOBS:
        folder = config.folder / EXPERIMENT / "jobs" / job
        result = json.loads((folder / "result.json").read_text())
        assert result["job"] == job
        assert not (folder / "checkpoint.pt").exists()


def test_evidence_and_plots_exist(config, measured):
    context = measured[0]
    assert set(context.plots) == {
        "plots/accuracy_by_type.png",
        "plots/training.png",
        "plots/ablation.png",
    }
    for name in (*context.plots, *context.evidence):
        assert (context.folder / name).is_file()


def test_full_size_overhead_is_below_a_tenth(metrics):
    """11.8 GFLOP of audio encoder and 8 more positions, relative to 776 GFLOP."""
    assert metrics["latency_full"].value == pytest.approx(1.068, abs=0.002)


def test_job_name_sets_the_adapter_size(config):
    adapter, settings = plan(config, "k12_r4")
    assert (adapter.audio_tokens, adapter.lora.rank, adapter.lora.alpha) == (12, 4, 8)
    assert settings.steps == config.pilot.ablation_steps
    assert plan(config, "undistilled")[1].distillation == 0


@pytest.mark.parametrize("job", ["k4", "k4_r8x", "no", "../distilled", ""])
def test_unknown_job_is_refused(config, job):
    with pytest.raises(ConfigError, match="job"):
        run_job(config, EXPERIMENT, job)


def test_missing_job_is_named_with_the_command_to_run(config, tmp_path):
    with pytest.raises(EvidenceError, match=r"'distilled' was not run.*\n.*safe run-job"):
        run(config, EXPERIMENT, tmp_path / "04")


@pytest.mark.parametrize(("items", "verdict"), [(12, "inconclusive"), (None, "pass")])
def test_selection_needs_enough_questions(config, measured, items, verdict):
    context, metrics = measured
    found = context.candidates["configurations"]
    rows = [found.rows[0].model_copy(update={"name": f"cell_{n}"}) for n in range(9)]
    grid = Candidates(rows=rows, items=items or found.items)
    grown = replace(context, candidates={"configurations": grid})
    judged = decide(config, EXPERIMENT, metrics, grown, min_items=True).criteria
    assert {c.id: c.verdict for c in judged}["04.smallest_config"] == verdict
