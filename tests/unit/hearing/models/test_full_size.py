"""The plan's size, compared with the parameter counts of the published checkpoints."""

import pytest

from safe.hearing.evaluation.freeze_audit import count, unexpected_trainable
from safe.hearing.models.full_size import PLAN_ADAPTER, build_full_size


@pytest.fixture(scope="module")
def full():
    return build_full_size()


def total(module):
    return sum(p.numel() for p in module.parameters())


def test_backbones_have_their_published_size(full):
    assert total(full.base) == pytest.approx(3.745e9, rel=1e-3)
    assert total(full.base.vision_model) == pytest.approx(986e6, rel=1e-3)
    assert total(full.base.qformer) == pytest.approx(105e6, rel=2e-3)
    assert total(full.base.language_model) == pytest.approx(2652e6, rel=1e-3)
    assert total(full.audio_encoder_model.audio_model) == pytest.approx(27.5e6, rel=2e-3)


def test_trainable_parameters_are_projector_and_lora_by_formula(full):
    width, layers, rank = 2560, 32, 8
    lora = layers * 2 * rank * (width + width)
    projector = 2 * 512 + (512 * 640 + 640) + (640 * 8 * width + 8 * width)
    assert count(full.trainable()) == lora + projector
    assert 10e6 <= lora + projector <= 50e6
    assert unexpected_trainable(full) == []


def test_twice_the_rank_is_twice_the_lora():
    lora = PLAN_ADAPTER.lora.model_copy(update={"rank": 16})
    model = build_full_size(PLAN_ADAPTER.model_copy(update={"lora": lora}))
    assert count(model.trainable()) - total(model.projector) == 5_242_880
