"""08 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

import json

import pytest

from safe.files import write_json
from safe.hearing.data.mixing import StageSampler
from safe.hearing.training.curriculum import Curriculum
from safe.hearing.training.curriculum_log import Log
from tests.judging import decide, put_right_again, run, train_again, verdicts

EXPERIMENT = "08_curriculum"


@pytest.fixture
def config(rehearsed_run):
    """A run whose jobs are sound, to be spoiled; put right again afterwards."""
    with put_right_again(rehearsed_run.folder / EXPERIMENT):
        yield rehearsed_run


def outcome(config):
    metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)[1]
    decision = decide(config, EXPERIMENT, metrics)
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


def test_a_crash_in_a_transition(config, monkeypatch):
    def broken(self, *_):
        raise IndexError("no such stage")

    monkeypatch.setattr(Curriculum, "_advance", broken)
    train_again(config, EXPERIMENT, "normal")
    found = outcome(config)
    assert found["08.no_crash"] == "fail"
    assert found["08.transitions"] == "unavailable"


def test_a_transition_one_epoch_early(config, monkeypatch):
    """The extension that is due is left out."""
    real = Curriculum.observe

    def hasty(self, metrics):
        self.seen += 10_000  # as if enough had been seen
        return real(self, metrics)

    monkeypatch.setattr(Curriculum, "observe", hasty)
    train_again(config, EXPERIMENT, "extension")
    assert outcome(config)["08.transitions"] == "fail"


def test_a_sampler_off_by_five_per_cent(config, monkeypatch):
    real = StageSampler._audio_before
    monkeypatch.setattr(
        StageSampler, "_audio_before", lambda self, index: real(self, index) + index
    )
    train_again(config, EXPERIMENT, "normal")
    found = outcome(config)
    assert found["08.logging"] == "fail"
    assert found["08.transitions"] == "pass"


def test_a_log_field_that_is_missing(config, monkeypatch):
    real = Log.write

    def forgetful(self, line):
        handle, self._handle = self._handle, None

        class Without:
            def write(_, data):
                values = json.loads(data)
                values.pop("gradient_norm", None)
                return handle.write(json.dumps(values, sort_keys=True).encode() + b"\n")

            flush = handle.flush

        self._handle = Without()
        try:
            real(self, line)
        finally:
            self._handle = handle

    monkeypatch.setattr(Log, "write", forgetful)
    train_again(config, EXPERIMENT, "normal")
    assert outcome(config)["08.logging"] == "fail"


def test_a_resume_with_another_random_state(config):
    """The killed run's log as a resume without its random state leaves it: other losses."""
    path = config.folder / EXPERIMENT / "jobs" / "killed" / "log.jsonl"
    lines = path.read_text().splitlines()
    values = json.loads(lines[-2])
    lines[-2] = json.dumps(values | {"loss": values["loss"] + 1e-6}, sort_keys=True)
    path.write_text("\n".join(lines) + "\n")
    assert outcome(config)["08.resume_identical"] == "fail"


def test_a_run_that_ended_before_it_was_killed(config):
    path = config.folder / EXPERIMENT / "jobs" / "resumed" / "result.json"
    write_json(path, json.loads(path.read_text()) | {"kills": []})
    assert outcome(config)["08.resume_identical"] == "unavailable"
