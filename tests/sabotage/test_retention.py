"""09 with a fault planted: the criterion that is there for it must fail, and the gate say NO-GO."""

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
from tests.judging import decide, put_right_again, run, train_again, verdicts, with_limits
from tests.tiny_curriculum import teacher_forced

EXPERIMENT = "09_retention"


@pytest.fixture
def config(retained_run, monkeypatch):
    """A run whose jobs are sound, to be spoiled; put right again afterwards."""
    monkeypatch.setattr(training_setup, "teacher_forced", teacher_forced)
    with put_right_again(retained_run.folder / EXPERIMENT):
        yield retained_run


def outcome(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    decision = decide(config, EXPERIMENT, metrics, context)
    assert decision.verdict == "NO-GO"
    reasons = {m.name: m.reason for m in metrics}
    return verdicts(decision), reasons


def test_distillation_on_rows_that_are_off(config, monkeypatch):
    """With the gate OFF teacher and student are one model: nothing is learned, nothing measured."""
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
    train_again(config, EXPERIMENT, "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "gate OFF" in reasons["distillation"]


def test_a_penalty_without_its_gradient(config, monkeypatch):
    real = losses.distillation_divergence
    monkeypatch.setattr(losses, "distillation_divergence", lambda *given: real(*given).detach())
    train_again(config, EXPERIMENT, "distilled")
    assert outcome(config)[0]["09.distillation"] == "fail"


def test_a_teacher_that_is_the_student(config, monkeypatch):
    """What the student says is taken for what the base says, in training and when asked."""
    real = StageA.make

    def own(self, numbers, whole, step):
        batch = real(self, numbers, whole, step)
        if batch.teacher is None:
            return batch
        mask = batch.inputs["answer_mask"].bool()
        audio_examples = batch.audio_examples.unsqueeze(1).expand_as(mask)[mask]
        with torch.no_grad():
            said = self.model.answer_logits(**batch.inputs)[mask][~audio_examples]
        object.__setattr__(batch, "teacher", said)
        return batch

    monkeypatch.setattr(StageA, "make", own)
    train_again(config, EXPERIMENT, "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "are equal" in reasons["distillation"]


def test_drift_asked_with_the_gate_off(config, monkeypatch):
    def off(feeder, rows, teacher=None):
        return [ForcedAnswer(True, True, 0.0) for _ in rows]

    monkeypatch.setattr(training_setup, "teacher_forced", off)
    train_again(config, EXPERIMENT, "none", "distilled")
    found, reasons = outcome(config)
    assert found["09.distillation"] == "unavailable"
    assert "nothing drifts" in reasons["distillation"]


def test_a_projection_that_pushes_into_the_pictures(config, monkeypatch):
    """Of every update, what lies in the basis is made larger and not taken out."""

    def towards(self):
        update = torch.cat([w.detach().reshape(-1) for w in self.weights]) - self._before
        inside, start = self.basis.T @ (self.basis @ update), 0
        for weight in self.weights:
            job = inside[start : start + weight.numel()].view_as(weight)
            weight.data.add_(200 * job)
            start += weight.numel()
        return 0.5

    monkeypatch.setattr(NullSpace, "after_update", towards)
    train_again(config, EXPERIMENT, "null_space", "distilled-null_space")
    assert outcome(config)[0]["09.null_space"] == "fail"


def test_a_projection_where_nothing_is_left_to_lose(config):
    """Nothing is worse than a job that has forgotten everything, and that says nothing."""
    path = config.folder / EXPERIMENT / "jobs" / "none" / ITEMS
    table = pq.read_table(path)
    place = table.schema.get_field_index("right")
    pq.write_table(table.set_column(place, "right", pa.array([False] * len(table))), path)
    found, reasons = outcome(config)
    assert found["09.null_space"] == "unavailable"
    assert "too few for the projection" in reasons["null_space"]


def test_no_weight_that_holds(config):
    strict = with_limits(config, lambda_selected={"vl_drop_high": -1.0})
    assert outcome(strict)[0]["09.lambda_selected"] == "fail"


def test_the_sound_parts_are_go(config):
    context, metrics = run(config, EXPERIMENT, config.folder / EXPERIMENT)
    assert decide(config, EXPERIMENT, metrics, context).verdict == "GO"
