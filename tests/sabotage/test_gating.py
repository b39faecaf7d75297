"""05 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import dataclasses

import pyarrow.parquet as pq
import pytest
import torch

from safe.hearing.evaluation import gate_curve
from safe.hearing.evaluation.base_answers import read_base_answers
from safe.hearing.experiments import metric_builder
from safe.hearing.experiments.gating import evaluator as gating_bench
from safe.hearing.experiments.gating import measure as measuring
from safe.hearing.experiments.gating.evaluator import GatingEvaluator
from safe.hearing.models.gating import (
    POLICIES,
    EntropyGate,
    MarginGate,
    MaxProbabilityGate,
    UncertaintyGate,
)
from safe.hearing.models.safe_model import SafeModel
from tests.faults import fault
from tests.judging import decide, run, verdicts
from tests.tiny_gating import EXPERIMENT, changed


@pytest.fixture(scope="module")
def config(gating_run):
    return gating_run


def outcome(config, tmp_path):
    context, metrics = run(config, EXPERIMENT, tmp_path / "05")
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@fault("statistics", "a threshold tuned on the test split", "05.chosen_on_validation")
def test_thresholds_chosen_on_test_fail_chosen_on_validation(config, tmp_path, monkeypatch):
    real = GatingEvaluator.eval_set
    monkeypatch.setattr(GatingEvaluator, "eval_set", lambda self, split: real(self, "test"))
    found = outcome(config, tmp_path)
    assert found["05.chosen_on_validation"] == "fail"
    assert found["05.audio_drop"] == "pass"  # no other criterion detects it


@fault(
    "statistics",
    "a threshold tuned on test, reported with the ids of validation",
    "05.choice_repeats",
)
def test_threshold_from_test_rows_with_validation_ids_fails_choice_repeats(
    config, tmp_path, monkeypatch
):
    """The gate lists validation questions, but its threshold is that of the test questions."""
    real = measuring.choose

    def on_test(outcomes, gates, **options):
        rows = pq.read_table(tmp_path / "05" / measuring.ITEMS).to_pylist()
        test = gating_bench.outcomes_of([row for row in rows if row["split"] == "test"])
        chosen = real(test, gate_curve.policies(test.scores, 16), **options)
        return [dataclasses.replace(choice, outcomes=outcomes) for choice in chosen]

    monkeypatch.setattr(measuring, "choose", on_test)
    found = outcome(config, tmp_path)
    assert found["05.choice_repeats"] == "fail"
    assert found["05.chosen_on_validation"] == "pass"


@fault("evaluation", "a base scored against the answers of the next row", "05.base_differs")
def test_base_that_answered_otherwise_in_the_pilot_fails_base_differs(
    config, tmp_path, monkeypatch
):
    """04 scored each question against the answer of the next row."""

    def shifted(path):
        known = read_base_answers(path)
        answers = list(known.values())
        return dict(zip(known, [*answers[1:], answers[0]], strict=True))

    monkeypatch.setattr(metric_builder, "read_base_answers", shifted)
    assert outcome(config, tmp_path)["05.base_differs"] == "fail"


@fault("data", "validation and test questions about the same picture", "05.chosen_on_validation")
def test_pictures_shared_with_test_fail_chosen_on_validation(config, tmp_path, monkeypatch):
    monkeypatch.setattr(gating_bench, "split_sources", lambda *_: set())
    assert outcome(config, tmp_path)["05.chosen_on_validation"] == "fail"


@fault("model", "a gate whose comparison is inverted or always true", "05.skip_rate", "05.tradeoff")
def test_gate_that_never_skips_fails_skip_rate(config, tmp_path, monkeypatch):
    for policy in POLICIES.values():
        monkeypatch.setattr(policy, "consults", lambda self, scores: scores == scores)
    found = outcome(config, tmp_path)
    assert found["05.skip_rate"] == "fail"
    assert found["05.tradeoff"] == "fail"


@fault("model", "a gate that reads an uninitialised score", "05.audio_drop", "05.as_tabulated")
def test_gate_that_skips_at_random_fails_audio_drop(config, tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(
        UncertaintyGate,
        "decide",
        lambda self, request: torch.rand(request.rows, generator=generator) < 0.5,
    )
    found = outcome(config, tmp_path)
    assert found["05.audio_drop"] == "fail"
    assert found["05.as_tabulated"] == "fail"


@fault("model", "uncertainty computed from the wrong logits", "05.skip_rate", "05.audio_drop")
def test_uninformative_scores_make_skip_rate_unavailable(config, tmp_path, monkeypatch):
    """No threshold on random scores provably keeps audio accuracy, so nothing is selected."""
    generator = torch.Generator().manual_seed(0)

    def score(logits):
        return torch.rand(len(logits), generator=generator, dtype=torch.float64)

    for policy in (EntropyGate, MaxProbabilityGate, MarginGate):
        monkeypatch.setattr(policy, "score", staticmethod(score))
    found = outcome(config, tmp_path)
    assert found["05.skip_rate"] == found["05.audio_drop"] == "unavailable"
    assert not (tmp_path / "05" / "gate.json").exists()


@fault(
    "model",
    "an adapter that stays active for skipped questions of a mixed batch",
    "05.vl_unchanged",
)
def test_adapter_active_in_off_examples_fails_vl_unchanged(config, tmp_path, monkeypatch):
    """After the gate's decision, the model with LoRA also answers for the base."""
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


@fault(
    "evaluation",
    "a service that runs another threshold than the one that was evaluated",
    "05.as_tabulated",
)
def test_other_threshold_than_tabulated_fails_as_tabulated(config, tmp_path, monkeypatch):
    real = GatingEvaluator.answer_gated
    monkeypatch.setattr(
        GatingEvaluator,
        "answer_gated",
        lambda self, rows, gate: real(self, rows, type(gate)(gate.threshold * 0.7)),
    )
    assert outcome(config, tmp_path)["05.as_tabulated"] == "fail"


@fault("statistics", "one operating point reported as a trade-off curve", "05.tradeoff")
def test_single_threshold_fails_tradeoff(config, tmp_path, monkeypatch):
    real = gate_curve.thresholds
    monkeypatch.setattr(gate_curve, "thresholds", lambda scores, points: real(scores, 1) * points)
    assert outcome(config, tmp_path)["05.tradeoff"] == "fail"


@fault("model", "a gate that discards the audio after encoding it", "05.skipped_work")
def test_encoding_audio_of_skipped_examples_fails_skipped_work(config, tmp_path, monkeypatch):
    real = SafeModel.generate

    def generate(self, *args, audio=None, **kwargs):
        if isinstance(audio, list):
            self.audio_encoder.embed(audio)
        return real(self, *args, audio=audio, **kwargs)

    monkeypatch.setattr(SafeModel, "generate", generate)
    found = outcome(changed(config, timed_items=50, timing_repeats=1), tmp_path)
    assert found["05.skipped_work"] == "fail"
    assert found["05.time_saved"] == "fail"
