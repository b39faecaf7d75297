"""07 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

import dataclasses

import numpy as np
import pytest
import torch

from safe.hearing.evaluation import aggregate, vqa
from safe.hearing.experiments.evaluation_harness.evaluator import HarnessEvaluator, RecordingGate
from safe.hearing.experiments.gating.measure import GATE
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training import collate
from tests.judging import decide, run, verdicts
from tests.tiny_harness import (
    EXPERIMENT,
    changed,
    make_harness_run,
    reference,
    with_threshold,
    write_references,
)


@pytest.fixture(scope="module")
def config(asked_run):
    return asked_run


def outcome(config, tmp_path):
    decision = decide(config, EXPERIMENT, run(config, EXPERIMENT, tmp_path / "07")[1])
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@pytest.fixture
def listening(config):
    """The selected gate listens to everything; it is put back afterwards."""
    path = config.folder / "05_gating" / GATE
    kept = path.read_bytes()
    with_threshold(config, -1.0)
    yield config
    path.write_bytes(kept)


def test_a_metric_that_drops_what_was_not_answered(config, tmp_path, monkeypatch):
    real = aggregate.accuracies
    monkeypatch.setattr(
        aggregate, "accuracies", lambda rows: real([r for r in rows if r["score"] > 0])
    )
    assert outcome(config, tmp_path)["07.metrics_correct"] == "fail"


def test_answers_compared_before_they_are_normalised(config, tmp_path, monkeypatch):
    monkeypatch.setattr(vqa, "normalise", lambda answer: answer)
    assert outcome(config, tmp_path)["07.metrics_correct"] == "fail"


def test_a_reference_altered_by_one_percent(config, tmp_path):
    table = changed(config, references=str(tmp_path / "references.yaml"))
    write_references(table, [reference(config, 0.5, tolerance=1.0)])
    found = run(table, EXPERIMENT, tmp_path / "07")[1]
    (baseline,) = [m for m in found if m.name == "baseline_matches"]
    (seen,) = [c["measured"] for c in baseline.detail["compared"]]
    write_references(table, [reference(config, seen)])
    assert (
        verdicts(decide(config, EXPERIMENT, run(table, EXPERIMENT, tmp_path / "a")[1]))[
            "07.baseline_matches"
        ]
        == "pass"
    )
    write_references(table, [reference(config, seen + 0.01)])
    assert outcome(table, tmp_path / "b")["07.baseline_matches"] == "fail"


def test_a_prompt_that_gives_the_answer_away(tmp_path_factory, tmp_path, monkeypatch):
    """A deaf model that reads its answers."""
    real, hear = collate.TextEncoder.row, SafeModel.hear

    def leaking(self, sample, heard):
        if sample.task == "vl":
            return real(self, sample, heard)
        question = f"{sample.question} {sample.answer}"
        return real(self, dataclasses.replace(sample, question=question), heard)

    monkeypatch.setattr(collate.TextEncoder, "row", leaking)
    monkeypatch.setattr(SafeModel, "hear", lambda self, audio, rows: hear(self, audio, rows) * 0)
    config = make_harness_run(tmp_path_factory.mktemp("leak"), steps=400)
    assert outcome(config, tmp_path)["07.follows_sound"] == "fail"


def test_a_model_that_ignores_its_sound(config, tmp_path, monkeypatch):
    hear = SafeModel.hear
    monkeypatch.setattr(SafeModel, "hear", lambda self, audio, rows: hear(self, audio, rows) * 0)
    assert outcome(config, tmp_path)["07.follows_sound"] == "fail"


def test_sounds_that_are_of_no_use_when_heard(config, tmp_path, monkeypatch):
    """Consulted or not, the right answer is as likely."""
    real = HarnessEvaluator.log_probabilities
    monkeypatch.setattr(
        HarnessEvaluator,
        "log_probabilities",
        lambda self, rows, _, **options: real(self, rows, True, **options),
    )
    assert outcome(config, tmp_path)["07.lomo_drop"] == "fail"


def test_sounds_that_change_every_answer(config, tmp_path, monkeypatch):
    """Questions about pictures lose as much as those that need their sound."""
    real, rng = HarnessEvaluator.log_probabilities, np.random.default_rng(0)

    def shaken(self, rows, gate, **options):
        return (real(self, rows, gate, **options) + rng.normal(0, 100, len(rows))).tolist()

    monkeypatch.setattr(HarnessEvaluator, "log_probabilities", shaken)
    assert outcome(config, tmp_path)["07.lomo_separation"] == "fail"


def test_a_model_that_falls_apart_without_its_sound(config, tmp_path, monkeypatch):
    """With a sound all is well; near-silence makes it say anything."""
    real = HarnessEvaluator.answer

    def answer(self, rows, gate, *args, said="", **options):
        found = real(self, rows, gate, *args, said=said, **options)
        if said == "sound":
            return [
                dataclasses.replace(g, text=r.sample.answer)
                for g, r in zip(found, rows, strict=True)
            ]
        return found

    monkeypatch.setattr(HarnessEvaluator, "answer", answer)
    assert outcome(config, tmp_path)["07.lomo_vl"] == "fail"


def test_a_gate_that_always_listens(listening, tmp_path):
    assert outcome(listening, tmp_path)["07.false_consultation"] == "fail"


def test_a_model_that_distractors_confuse(listening, tmp_path, monkeypatch):
    """The base knows every answer; what it hears makes SAFE forget them."""
    base, answer = HarnessEvaluator.base, HarnessEvaluator.answer

    def knowing(self, rows):
        return [
            dataclasses.replace(g, text=r.sample.answer)
            for g, r in zip(base(self, rows), rows, strict=True)
        ]

    def confused(self, rows, *args, **options):
        found = answer(self, rows, *args, **options)
        return [dataclasses.replace(g, text="") if g.consulted else g for g in found]

    monkeypatch.setattr(HarnessEvaluator, "base", knowing)
    monkeypatch.setattr(HarnessEvaluator, "answer", confused)
    assert outcome(listening, tmp_path)["07.vl_under_noise"] == "fail"


def test_a_gate_that_decides_otherwise_from_call_to_call(config, tmp_path, monkeypatch):
    rng, real = np.random.default_rng(1), RecordingGate.decide

    def moody(self, request):
        real(self, request)
        return torch.full((request.rows,), bool(rng.random() < 0.5))

    monkeypatch.setattr(RecordingGate, "decide", moody)
    found = outcome(config, tmp_path)
    assert found["07.gate_robust"] == "fail"
    assert found["07.metrics_stable"] == "fail"
