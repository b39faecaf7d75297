"""Teacher forcing agrees with generation, and drift with the distillation loss."""

import pytest

from safe.errors import DataError
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.training.held_out import subsample_evenly
from safe.hearing.training.losses import distillation_divergence
from safe.hearing.training.teacher_forcing import teacher_forced
from tests.tiny_run import make_run
from tests.unit.hearing.training.test_stage_a import open_stage, train


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    settings = {"rows": 60, "steps": 60, "batch_size": 8, "projector_lr": 1e-2, "lora_lr": 1e-2}
    config = make_run(tmp_path_factory.mktemp("run"), vl=30, audio=24, stage_a=settings)
    stage = open_stage(config)
    train(stage, config)
    return stage


def test_row_is_correct_exactly_if_its_answer_is_generated(stage):
    rows = stage.data.audio_examples
    found = [answer.right for answer in teacher_forced(stage.feeder, rows)]
    generated = stage.feeder.answers(rows)
    assert found == [same_answer(g, r.sample.answer) for g, r in zip(generated, rows, strict=True)]
    assert sum(found) > 0


def test_drift_is_the_distillation_divergence(stage):
    rows = stage.data.vl_examples[:7]
    found = teacher_forced(stage.feeder, rows, stage.teacher)
    for row, answer in zip(rows, found, strict=True):
        inputs = stage.feeder.scoring([row])
        student = stage.model.answer_logits(**inputs)[inputs["answer_mask"].bool()]
        expected = distillation_divergence(
            stage.teacher.logits([row]), student.detach(), len(row.answer)
        )
        assert answer.drift == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_base_correctness_agrees_with_its_generated_answers(stage):
    rows = stage.data.vl_examples
    found = teacher_forced(stage.feeder, rows, stage.teacher)
    generated = stage.feeder.base_answers(rows)
    assert [a.base_right for a in found] == [
        same_answer(g, r.sample.answer) for g, r in zip(generated, rows, strict=True)
    ]


def test_batch_size_changes_nothing(stage):
    rows = stage.data.vl_examples
    whole = teacher_forced(stage.feeder, rows, stage.teacher)
    alone = [teacher_forced(stage.feeder, [row], stage.teacher)[0] for row in rows[:5]]
    for one, other in zip(alone, whole, strict=False):
        assert (one.right, one.base_right) == (other.right, other.base_right)
        assert one.drift == pytest.approx(other.drift, abs=1e-5)


def test_without_a_teacher_there_is_no_drift(stage):
    (found,) = teacher_forced(stage.feeder, stage.data.audio_examples[:1])
    assert found.drift != found.drift
    assert found.base_right is None


def test_subsample_is_spread_evenly_and_empty_input_is_refused():
    assert subsample_evenly(list(range(10)), 4) == [0, 3, 6, 9]
    assert subsample_evenly(list(range(3)), 8) == [0, 1, 2]
    with pytest.raises(DataError, match="no held-out examples"):
        subsample_evenly([], 4)
