"""08 on a tiny run: a warm start, three stages, an extension, a stop, and a kill."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ConfigError, EvidenceError
from safe.hearing.config import CurriculumConfig
from safe.hearing.context import Context
from safe.hearing.experiments.curriculum import jobs as curriculum_jobs
from safe.hearing.experiments.curriculum import rehearsal as curriculum_rehearsal
from safe.hearing.experiments.curriculum.script import PLAN, replay, script
from safe.hearing.training.curriculum import Curriculum, EpochMetrics
from safe.hearing.training.curriculum_log import read_log
from safe.pipeline.runner import run_job
from tests.judging import decide, run, verdicts

EXPERIMENT = "08_curriculum"


@pytest.fixture(scope="module")
def config(trained_curriculum_run):
    return trained_curriculum_run


def lines(config, job):
    path = config.folder / EXPERIMENT / "jobs" / job / "log.jsonl"
    return [line for _, line in read_log(path)]


def test_runs_follow_the_scripted_stages(config):
    for job in ("normal", "extension"):
        result = json.loads((config.folder / EXPERIMENT / "jobs" / job / "result.json").read_text())
        assert result["crashed"] is None
        stages = CurriculumConfig.model_validate(result["stages"])
        epochs = [line for line in lines(config, job) if line["kind"] == "epoch"]
        assert [(e["stage"], e["action"]) for e in epochs] == script(job, stages)
        assert replay(stages, epochs) == []
        assert result["ended"] == ("finish" if job == "normal" else "stop")


def test_decision_is_go_and_the_resumed_run_equals_the_uninterrupted_one(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics)
    assert decision.verdict == "GO", verdicts(decision)
    resumed = next(m for m in metrics if m.name == "resume_identical")
    assert len(resumed.detail["killed_after_lines"]) == 1
    assert resumed.detail["resumed_at_step"] is not None
    assert (context.folder / context.plots[0]).exists()


def test_crash_is_recorded_with_its_traceback(config, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the stage transition broke")

    monkeypatch.setattr(curriculum_rehearsal, "warm_start", broken)
    context = Context(config=config, folder=tmp_path / "jobs" / "normal")
    context.folder.mkdir(parents=True)
    found = curriculum_jobs.run(context, "normal")
    assert found["crashed"] == "RuntimeError: the stage transition broke"
    assert "broken" in (context.folder / "crash.txt").read_text()


def test_interrupted_write_leaves_no_partial_plan(config, tmp_path, monkeypatch):
    """The plan is read while the run continues, so an interrupted write must leave no file."""

    def half(path, text, **_):
        path.write_bytes(text[: len(text) // 2].encode())
        raise OSError("interrupted")

    context = Context(config=config, folder=tmp_path / "jobs" / "normal")
    context.folder.mkdir(parents=True)
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="interrupted"):
        curriculum_rehearsal.rehearse(context, "normal")
    assert not (context.folder / PLAN).exists()


def test_unknown_job_is_refused(config):
    with pytest.raises(ConfigError, match="no job 'other'"):
        run_job(config, EXPERIMENT, "other")


def test_missing_job_is_named(config, tmp_path):
    with pytest.raises(EvidenceError, match="the job 'resumed' was not run"):
        run(config, EXPERIMENT, tmp_path)


STAGES = [
    {"name": name, "epochs": 1, "audio_ratio": 0.5, "difficulties": ["easy"],
     "min_audio_accuracy": 0.5, "max_vl_drop": 0.1, "min_samples": 150}
    for name in ("a", "b", "c")
]  # fmt: skip


@given(
    trace=st.lists(
        st.tuples(st.floats(0, 1), st.floats(-1, 1), st.integers(0, 200), st.floats(0, 1)),
        min_size=1,
        max_size=12,
    ),
    step=st.sampled_from([0.0, 0.1, 0.3]),
)
@settings(max_examples=300, deadline=None)
def test_state_machine_and_replay_agree_on_any_trace(trace, step):
    """The replay is an independent implementation of the transition rules."""
    config = CurriculumConfig.model_validate({"stages": STAGES, "ratio_step": step})
    machine, epochs = Curriculum(config), []
    for accuracy, drop, samples, skips in trace:
        if machine.ended:
            break
        before = {"stage": machine.stage.name, "audio_ratio": machine.ratio}
        decided = machine.observe(EpochMetrics(accuracy, drop, samples, skips))
        epochs.append(
            before
            | {
                "epoch": decided.epoch,
                "action": decided.action,
                "audio_accuracy": accuracy,
                "vl_drop": drop,
                "samples": samples,
                "skip_rate": skips,
            }
        )
    assert replay(config, epochs) == []
    altered = [{**epochs[-1], "action": "continue"}]
    assert replay(config, [*epochs[:-1], *altered]) != []
