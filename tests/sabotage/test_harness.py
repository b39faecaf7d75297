"""07 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import dataclasses

import numpy as np
import pytest
import torch

from safe.hearing.evaluation import aggregate, vqa
from safe.hearing.experiments.evaluation_harness.evaluator import HarnessEvaluator, RecordingGate
from safe.hearing.experiments.gating.measure import GATE
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training import collate
from tests.faults import fault
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
def config(harness_run):
    return harness_run


def outcome(config, tmp_path):
    decision = decide(config, EXPERIMENT, run(config, EXPERIMENT, tmp_path / "07")[1])
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@pytest.fixture
def always_on(config):
    """The gate is ON for every example; restored afterwards."""
    path = config.folder / "05_gating" / GATE
    original = path.read_bytes()
    with_threshold(config, -1.0)
    yield config
    path.write_bytes(original)


@fault("evaluation", "a metric that leaves out what it cannot parse", "07.metrics_correct")
def test_metric_that_drops_wrong_answers_fails_metrics_correct(config, tmp_path, monkeypatch):
    real = aggregate.accuracies
    monkeypatch.setattr(
        aggregate, "accuracies", lambda rows: real([r for r in rows if r["score"] > 0])
    )
    assert outcome(config, tmp_path)["07.metrics_correct"] == "fail"


@fault("evaluation", "a shorter prompt for the base than in the pilot", "07.base_differs")
def test_base_with_a_shorter_prompt_fails_base_differs(config, tmp_path, monkeypatch):
    real = HarnessEvaluator.base

    def curtailed(self, rows):
        return real(self, [dataclasses.replace(r, prompt=r.prompt[:1]) for r in rows])

    monkeypatch.setattr(HarnessEvaluator, "base", curtailed)
    assert outcome(config, tmp_path)["07.base_differs"] == "fail"


@fault("evaluation", "answers compared without the official normalisation", "07.metrics_correct")
def test_answers_compared_without_normalisation_fail_metrics_correct(config, tmp_path, monkeypatch):
    monkeypatch.setattr(vqa, "normalise", lambda answer: answer)
    assert outcome(config, tmp_path)["07.metrics_correct"] == "fail"


@fault(
    "evaluation",
    "a base evaluated with another prompt than the published one",
    "07.baseline_matches",
)
def test_reference_altered_by_one_percent_fails_baseline_matches(config, tmp_path):
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


@fault("evaluation", "references that leak into the prompt", "07.follows_sound")
def test_answer_in_the_prompt_fails_follows_sound(tmp_path_factory, tmp_path, monkeypatch):
    """The model ignores audio and reads the answer from the prompt."""
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


@fault("model", "a model that answers from the picture alone", "07.follows_sound")
def test_model_that_ignores_audio_fails_follows_sound(config, tmp_path, monkeypatch):
    hear = SafeModel.hear
    monkeypatch.setattr(SafeModel, "hear", lambda self, audio, rows: hear(self, audio, rows) * 0)
    assert outcome(config, tmp_path)["07.follows_sound"] == "fail"


@fault("model", "a projector that is never called", "07.lomo_drop")
def test_audio_without_effect_fails_lomo_drop(config, tmp_path, monkeypatch):
    """The correct answer has the same probability with the gate ON and OFF."""
    real = HarnessEvaluator.log_probabilities
    monkeypatch.setattr(
        HarnessEvaluator,
        "log_probabilities",
        lambda self, rows, _, **options: real(self, rows, True, **options),
    )
    assert outcome(config, tmp_path)["07.lomo_drop"] == "fail"


@fault("model", "audio that disturbs questions about pictures", "07.lomo_separation")
def test_audio_that_changes_every_answer_fails_lomo_separation(config, tmp_path, monkeypatch):
    """VL questions lose as much as those that need audio."""
    real, rng = HarnessEvaluator.log_probabilities, np.random.default_rng(0)

    def with_noise(self, rows, gate, **options):
        return (real(self, rows, gate, **options) + rng.normal(0, 100, len(rows))).tolist()

    monkeypatch.setattr(HarnessEvaluator, "log_probabilities", with_noise)
    assert outcome(config, tmp_path)["07.lomo_separation"] == "fail"


@fault("model", "a model that depends on any sound being present", "07.lomo_vl")
def test_model_that_fails_without_audio_fails_lomo_vl(config, tmp_path, monkeypatch):
    """Answers are correct with the sound and arbitrary with background noise."""
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


@fault("model", "a gate that consults the audio for every question", "07.false_consultation")
def test_gate_that_is_always_on_fails_false_consultation(always_on, tmp_path):
    assert outcome(always_on, tmp_path)["07.false_consultation"] == "fail"


@fault(
    "model", "music in the background that changes answers about the picture", "07.vl_under_noise"
)
def test_model_confused_by_distractors_fails_vl_under_noise(always_on, tmp_path, monkeypatch):
    """The base answers everything correctly; SAFE answers nothing when the gate is ON."""
    base, answer = HarnessEvaluator.base, HarnessEvaluator.answer

    def correct(self, rows):
        return [
            dataclasses.replace(g, text=r.sample.answer)
            for g, r in zip(base(self, rows), rows, strict=True)
        ]

    def empty_when_on(self, rows, *args, **options):
        found = answer(self, rows, *args, **options)
        return [dataclasses.replace(g, text="") if g.consulted else g for g in found]

    monkeypatch.setattr(HarnessEvaluator, "base", correct)
    monkeypatch.setattr(HarnessEvaluator, "answer", empty_when_on)
    assert outcome(always_on, tmp_path)["07.vl_under_noise"] == "fail"


@fault(
    "model", "a gate that depends on the recording quality", "07.gate_robust", "07.metrics_stable"
)
def test_gate_with_random_decisions_fails_gate_robust(config, tmp_path, monkeypatch):
    rng, real = np.random.default_rng(1), RecordingGate.decide

    def random_decision(self, request):
        real(self, request)
        return torch.full((request.rows,), bool(rng.random() < 0.5))

    monkeypatch.setattr(RecordingGate, "decide", random_decision)
    found = outcome(config, tmp_path)
    assert found["07.gate_robust"] == "fail"
    assert found["07.metrics_stable"] == "fail"
