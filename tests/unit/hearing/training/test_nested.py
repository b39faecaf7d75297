"""Nested training: every step has one number of audio tokens, and only these tokens learn."""

from collections import Counter

from safe.hearing.models.gating import Tokens
from safe.hearing.training.nested import NestedStageA
from tests.unit.hearing.training.test_stage_a import config, open_stage

__all__ = ["config"]  # the fixture: a tiny run with three audio tokens


def open_nested(config, *lengths, **changes):
    plain = open_stage(config, **changes)
    return NestedStageA(
        plain.feeder, plain.data, plain.teacher, plain.settings, config.seed, lengths=lengths
    )


def test_lengths_are_reproducible_and_evenly_drawn(config):
    stage, again = open_nested(config, 1, 3), open_nested(config, 1, 3)
    drawn = [stage.length(step) for step in range(400)]
    assert drawn == [again.length(step) for step in range(400)]
    assert set(drawn) == {1, 3}
    assert 140 < Counter(drawn)[1] < 260


def test_all_rows_of_a_step_have_its_length(config):
    stage = open_nested(config, 1, 3)
    whole = stage.batches().next()
    for step in range(6):
        gate = stage.make(whole, whole, step).inputs["gate"]
        assert gate == Tokens((stage.length(step),) * len(whole))


def test_unused_tokens_learn_nothing(config):
    stage = open_nested(config, 1, distillation=0.0, weight_decay=0.0)
    before = stage.model.projector.down.bias.detach().clone()
    stage.train(config, checkpoint=None, folder=None, name="nested")
    moved = (stage.model.projector.down.bias.detach() - before).view(3, -1).abs().amax(dim=1)
    assert moved[0] > 1e-4
    assert moved[1:].tolist() == [0.0, 0.0]


def test_other_lengths_have_another_fingerprint(config):
    assert open_nested(config, 1, 3).fingerprint() != open_nested(config, 1).fingerprint()
