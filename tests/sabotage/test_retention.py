"""09 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from safe.hearing.experiments import training_setup
from safe.hearing.experiments.retention.jobs import ITEMS
from safe.hearing.training import losses
from safe.hearing.training.null_space import NullSpace
from safe.hearing.training.stage_a import StageA
from safe.hearing.training.teacher_forcing import ForcedAnswer
from tests.faults import fault
from tests.judging import decide, restore_afterwards, retrain, run, verdicts, with_limits
from tests.tiny_curriculum import teacher_forced

EXPERIMENT = "09_retention"


@pytest.fixture
def config(trained_retention_run, monkeypatch):
    """Trained jobs that a test may modify; restored afterwards."""
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    with restore_afterwards(trained_retention_run.folder / EXPERIMENT):
        yield trained_retention_run


def outcome(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    reasons = {m.name: m.reason for m in metrics}
    return verdicts(decision), reasons


@fault("training", "distillation computed where student and teacher are equal", "09.distillation")
def test_distillation_with_the_gate_off_is_unavailable(config, monkeypatch):
    """With the gate OFF, teacher and student are the same model, so nothing is learned."""
    real = StageA.make

    def off(self, numbers, whole, step):
        batch = real(self, numbers, whole, step)
        vl_examples = [self.rows[n] for n in numbers if n >= len(self.data.audio_examples)]
        if not vl_examples:
            return batch
        plain = self.feeder.plain(vl_examples) | self.feeder.encoder.answers(vl_examples)
        student = self.model.answer_logits(**plain, gate=False)[plain["answer_mask"].bool()]
        object.__setattr__(batch, "inputs", batch.inputs | {"answered_off": student})
        return batch

    def objective(self, model, batch):
        inputs = dict(batch.inputs)
        student = inputs.pop("answered_off")
        mask = inputs["answer_mask"].bool()
        logits = model.answer_logits(**inputs)[mask]
        audio_examples = batch.audio_examples.unsqueeze(1).expand_as(mask)[mask]
        named = torch.nn.functional.cross_entropy(
            logits[audio_examples].float(), inputs["answer_ids"][mask][audio_examples]
        )
        kept = losses.distillation_divergence(batch.teacher, student, batch.teacher_tokens)
        return {"loss": named + self.weight * kept, "cross_entropy": named.detach(),
                "divergence": kept.detach()}  # fmt: skip

    monkeypatch.setattr(StageA, "make", off)
    monkeypatch.setattr(losses.StageAObjective, "__call__", objective)
    retrain(config, EXPERIMENT, "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "gate OFF" in reasons["distillation"]


@fault("training", "a distillation term without gradient", "09.distillation")
def test_distillation_without_gradient_fails_distillation(config, monkeypatch):
    real = losses.distillation_divergence
    monkeypatch.setattr(losses, "distillation_divergence", lambda *given: real(*given).detach())
    retrain(config, EXPERIMENT, "distilled")
    assert outcome(config)[0]["09.distillation"] == "fail"


@fault("training", "a teacher that drifts with the student", "09.distillation")
def test_teacher_equal_to_the_student_makes_distillation_unavailable(config, monkeypatch):
    """The student's answers replace the base's, in training and in evaluation."""
    real = StageA.make

    def own(self, numbers, whole, step):
        batch = real(self, numbers, whole, step)
        if batch.teacher is None:
            return batch
        mask = batch.inputs["answer_mask"].bool()
        audio_examples = batch.audio_examples.unsqueeze(1).expand_as(mask)[mask]
        with torch.no_grad():
            student = self.model.answer_logits(**batch.inputs)[mask][~audio_examples]
        object.__setattr__(batch, "teacher", student)
        return batch

    monkeypatch.setattr(StageA, "make", own)
    retrain(config, EXPERIMENT, "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "are equal" in reasons["distillation"]


@fault("evaluation", "forgetting measured where nothing can be forgotten", "09.distillation")
def test_drift_measured_with_the_gate_off_makes_distillation_unavailable(config, monkeypatch):
    def off(feeder, rows, teacher=None):
        return [ForcedAnswer(True, True, 0.0) for _ in rows]

    monkeypatch.setattr(training_setup, "teacher_forced", off)
    retrain(config, EXPERIMENT, "none", "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "nothing drifts" in reasons["distillation"]


@fault("training", "a projection with its sign inverted", "09.null_space")
def test_projection_onto_the_picture_directions_fails_null_space(config, monkeypatch):
    """The component of every update inside the basis is amplified instead of removed."""

    def towards(self):
        update = torch.cat([w.detach().reshape(-1) for w in self.weights]) - self._before
        inside, start = self.basis.T @ (self.basis @ update), 0
        for weight in self.weights:
            job = inside[start : start + weight.numel()].view_as(weight)
            weight.data.add_(200 * job)
            start += weight.numel()
        return 0.5

    monkeypatch.setattr(NullSpace, "after_update", towards)
    retrain(config, EXPERIMENT, "null_space", "distilled-null_space")
    assert outcome(config)[0]["09.null_space"] == "fail"


@fault("statistics", "a method compared with a broken reference", "09.null_space")
def test_null_space_is_unavailable_when_the_reference_forgot_everything(config):
    """Nothing is worse than a job that lost all accuracy, so the comparison is meaningless."""
    path = config.folder / EXPERIMENT / "jobs" / "none" / ITEMS
    table = pq.read_table(path)
    index = table.schema.get_field_index("right")
    pq.write_table(table.set_column(index, "right", pa.array([False] * len(table))), path)
    found, reasons = outcome(config)
    assert found["09.null_space"] == "unavailable"
    assert "too few for the projection" in reasons["null_space"]


@fault("statistics", "the best of a bad lot reported as a selection", "09.lambda_selected")
def test_limits_that_no_weight_meets_fail_lambda_selected(config):
    strict = with_limits(config, lambda_selected={"vl_drop_high": -1.0})
    assert outcome(strict)[0]["09.lambda_selected"] == "fail"


def test_unmodified_jobs_are_go(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    assert decide(config, EXPERIMENT, metrics, context).verdict == "GO"
