"""08 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import json

import pytest

from safe.files import write_json
from safe.hearing.data.mixing import StageSampler
from safe.hearing.training.curriculum import Curriculum
from safe.hearing.training.curriculum_log import Log
from tests.faults import fault
from tests.judging import decide, restore_afterwards, retrain, run, verdicts

EXPERIMENT = "08_curriculum"


@pytest.fixture
def config(trained_curriculum_run):
    """Trained jobs that a test may modify; restored afterwards."""
    with restore_afterwards(trained_curriculum_run.folder / EXPERIMENT):
        yield trained_curriculum_run


def outcome(config):
    metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)[1]
    decision = decide(config, EXPERIMENT, metrics)
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@fault("training", "a stage change that crashes on one node and is retried by hand", "08.no_crash")
def test_crash_in_a_transition_fails_no_crash(config, monkeypatch):
    def broken(self, *_):
        raise IndexError("no such stage")

    monkeypatch.setattr(Curriculum, "_advance", broken)
    retrain(config, EXPERIMENT, "normal")
    found = outcome(config)
    assert found["08.no_crash"] == "fail"
    assert found["08.transitions"] == "unavailable"


@fault("training", "an off-by-one in the epoch counter of the curriculum", "08.transitions")
def test_transition_one_epoch_early_fails_transitions(config, monkeypatch):
    """The due extension is skipped."""
    real = Curriculum.observe

    def early(self, metrics):
        self.seen += 10_000  # as if enough samples had been seen
        return real(self, metrics)

    monkeypatch.setattr(Curriculum, "observe", early)
    retrain(config, EXPERIMENT, "extension")
    assert outcome(config)["08.transitions"] == "fail"


@fault("training", "a sampler that rounds the share of audio up in every batch", "08.logging")
def test_sampler_that_draws_too_much_audio_fails_logging(config, monkeypatch):
    real = StageSampler._audio_before
    monkeypatch.setattr(
        StageSampler, "_audio_before", lambda self, index: real(self, index) + index
    )
    retrain(config, EXPERIMENT, "normal")
    found = outcome(config)
    assert found["08.logging"] == "fail"
    assert found["08.transitions"] == "pass"


@fault("training", "a renamed key that the logger drops silently", "08.logging")
def test_missing_log_field_fails_logging(config, monkeypatch):
    real = Log.write

    def without_field(self, line):
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

    monkeypatch.setattr(Log, "write", without_field)
    retrain(config, EXPERIMENT, "normal")
    assert outcome(config)["08.logging"] == "fail"


@fault("training", "a checkpoint without the state of the random generators", "08.resume_identical")
def test_resume_with_another_random_state_fails_resume_identical(config):
    """The log of the killed run has another loss, as after a resume without the random state."""
    path = config.folder / EXPERIMENT / "jobs" / "killed" / "log.jsonl"
    lines = path.read_text().splitlines()
    values = json.loads(lines[-2])
    lines[-2] = json.dumps(values | {"loss": values["loss"] + 1e-6}, sort_keys=True)
    path.write_text("\n".join(lines) + "\n")
    assert outcome(config)["08.resume_identical"] == "fail"


@fault("training", "a resume test whose process ended before it was killed", "08.resume_identical")
def test_run_that_ended_before_the_kill_makes_resume_identical_unavailable(config):
    path = config.folder / EXPERIMENT / "jobs" / "resumed" / "result.json"
    write_json(path, json.loads(path.read_text()) | {"kills": []})
    assert outcome(config)["08.resume_identical"] == "unavailable"
