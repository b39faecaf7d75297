"""05 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

import pytest
import torch

from safe.hearing.evaluation import gate_curve
from safe.hearing.experiments.gating import evaluator as gating_bench
from safe.hearing.experiments.gating.evaluator import GatingEvaluator
from safe.hearing.models.gating import (
    POLICIES,
    EntropyGate,
    MarginGate,
    MaxProbabilityGate,
    UncertaintyGate,
)
from safe.hearing.models.safe_model import SafeModel
from tests.judging import decide, run, verdicts
from tests.tiny_gating import EXPERIMENT, changed


@pytest.fixture(scope="module")
def config(gated_run):
    return gated_run


def outcome(config, tmp_path):
    context, metrics = run(config, EXPERIMENT, tmp_path / "05")
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


def test_thresholds_chosen_on_test(config, tmp_path, monkeypatch):
    real = GatingEvaluator.eval_set
    monkeypatch.setattr(GatingEvaluator, "eval_set", lambda self, split: real(self, "test"))
    found = outcome(config, tmp_path)
    assert found["05.chosen_on_validation"] == "fail"
    assert found["05.audio_drop"] == "pass"  # nothing else shows it


def test_validation_pictures_that_test_shows_too(config, tmp_path, monkeypatch):
    monkeypatch.setattr(gating_bench, "split_sources", lambda *_: set())
    assert outcome(config, tmp_path)["05.chosen_on_validation"] == "fail"


def test_a_gate_that_never_skips(config, tmp_path, monkeypatch):
    for policy in POLICIES.values():
        monkeypatch.setattr(policy, "consults", lambda self, scores: scores == scores)
    found = outcome(config, tmp_path)
    assert found["05.skip_rate"] == "fail"
    assert found["05.tradeoff"] == "fail"


def test_a_gate_that_skips_at_random(config, tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        UncertaintyGate,
        "decide",
        lambda self, request: torch.rand(request.rows, generator=generator) < 0.5,
    )
    found = outcome(config, tmp_path)
    assert found["05.audio_drop"] == "fail"
    assert found["05.as_tabulated"] == "fail"


def test_scores_that_say_nothing(config, tmp_path, monkeypatch):
    """No threshold on chance can be shown to keep what is heard: nothing is selected."""
    generator = torch.Generator().manual_seed(0)

    def score(logits):
        return torch.rand(len(logits), generator=generator, dtype=torch.float64)

    for policy in (EntropyGate, MaxProbabilityGate, MarginGate):
        monkeypatch.setattr(policy, "score", staticmethod(score))
    found = outcome(config, tmp_path)
    assert found["05.skip_rate"] == found["05.audio_drop"] == "unavailable"
    assert not (tmp_path / "05" / "gate.json").exists()


def test_an_adapter_that_leaks_into_rows_that_are_off(config, tmp_path, monkeypatch):
    """Once the gate has decided, the LoRA twin answers for the base too."""
    consult, real = SafeModel._consult, SafeModel.generate

    def leaking(self, *args):
        decided = consult(self, *args)
        self.base.language_model = self.language_model
        return decided

    def generate(self, *args, **kwargs):
        kept = self.base.language_model
        try:
            return real(self, *args, **kwargs)
        finally:
            self.base.language_model = kept

    monkeypatch.setattr(SafeModel, "_consult", leaking)
    monkeypatch.setattr(SafeModel, "generate", generate)
    assert outcome(config, tmp_path)["05.vl_unchanged"] == "fail"


def test_a_threshold_that_is_another_when_it_is_put_to_work(config, tmp_path, monkeypatch):
    real = GatingEvaluator.answer_gated
    monkeypatch.setattr(
        GatingEvaluator,
        "answer_gated",
        lambda self, rows, gate: real(self, rows, type(gate)(gate.threshold * 0.7)),
    )
    assert outcome(config, tmp_path)["05.as_tabulated"] == "fail"


def test_few_thresholds_are_no_curve(config, tmp_path, monkeypatch):
    real = gate_curve.thresholds
    monkeypatch.setattr(gate_curve, "thresholds", lambda scores, points: real(scores, 1) * points)
    assert outcome(config, tmp_path)["05.tradeoff"] == "fail"


def test_an_audio_encoder_that_encodes_what_is_skipped(config, tmp_path, monkeypatch):
    real = SafeModel.generate

    def generate(self, *args, audio=None, **kwargs):
        if isinstance(audio, list):
            self.audio_encoder.embed(audio)
        return real(self, *args, audio=audio, **kwargs)

    monkeypatch.setattr(SafeModel, "generate", generate)
    found = outcome(changed(config, timed_items=50, timing_repeats=1), tmp_path)
    assert found["05.skipped_work"] == "fail"
    assert found["05.time_saved"] == "fail"
