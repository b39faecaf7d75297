"""Losses: comparison with closed forms, and of partial batches with the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr

from safe.hearing.config import AdapterConfig, LoraConfig
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.losses import StageAObjective, distillation_divergence
from safe.hearing.training.trainer import TrainingBatch
from tests.tiny_models import tiny_audio_encoder, tiny_vlm


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 9))
def test_divergence_agrees_with_scipys_relative_entropy(seed, tokens, words):
    rng = np.random.default_rng(seed)
    teacher, student = rng.normal(0, 3, (2, tokens, words))
    p, q = np.exp(log_softmax(teacher, -1)), np.exp(log_softmax(student, -1))
    found = distillation_divergence(
        torch.tensor(teacher).float(), torch.tensor(student).float(), tokens
    )
    assert float(found) == pytest.approx(rel_entr(p, q).sum() / tokens, abs=1e-5)


def test_divergence_of_equal_logits_is_zero():
    logits = torch.randn(5, 11)
    assert float(distillation_divergence(logits, logits, 5)) == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def model():
    config = AdapterConfig(audio_tokens=2, hidden=16, lora=LoraConfig(rank=2))
    return SafeModel(tiny_vlm(), tiny_audio_encoder(), config, seed=0)


def batch(model, rows, totals):
    """Rows 0-2 are audio examples, rows 3-5 are VL examples with a teacher."""
    generator = torch.Generator().manual_seed(1)
    sounds = torch.randn(6, 24, generator=generator)
    image = torch.randn(6, 4, 32, generator=generator)
    words = model.base.config.text_config.vocab_size
    teacher = torch.randn(6, 2, words, generator=generator)
    token = model.base.config.image_token_index
    answers = torch.tensor([[10 + r, 2] for r in range(6)])
    mask = torch.ones(6, 2, dtype=torch.long)
    mask[1, 1] = mask[4, 1] = 0
    prompt = torch.tensor([[token] * 4 + [0, 3, 4, 5]]).expand(6, -1)
    vl = [r for r in rows if r >= 3]
    inputs = {
        "input_ids": prompt[rows],
        "attention_mask": torch.ones(len(rows), 8, dtype=torch.long),
        "answer_ids": answers[rows],
        "answer_mask": mask[rows],
        "gate": True,
        "audio": sounds[rows],
        "image_tokens": image[rows],
    }
    return TrainingBatch(
        inputs,
        [str(r) for r in rows],
        tokens=totals[0],
        audio_examples=torch.tensor([r < 3 for r in rows]),
        teacher=torch.cat([teacher[r][mask[r].bool()] for r in vl]) if vl else None,
        teacher_tokens=totals[1],
    )


def test_losses_of_partial_batches_add_up_to_the_whole(model):
    objective = StageAObjective(0.7)
    with torch.no_grad():
        whole = objective(model, batch(model, [0, 1, 2, 3, 4, 5], (5, 5)))
        parts = [objective(model, batch(model, rows, (5, 5))) for rows in ([0, 3], [1, 2], [4, 5])]
    for name, value in whole.items():
        assert float(sum(p[name] for p in parts)) == pytest.approx(float(value), abs=1e-5)
    assert float(whole["loss"]) == pytest.approx(
        float(whole["cross_entropy"]) + 0.7 * float(whole["divergence"]), abs=1e-5
    )


def test_vl_rows_do_not_contribute_to_the_cross_entropy(model):
    """Only the teacher's logits of VL rows are used, not their labels."""
    objective = StageAObjective(0.0)
    with torch.no_grad():
        alone = objective(model, batch(model, [0, 1, 2], (5, 5)))
        beside = objective(model, batch(model, [0, 1, 2, 3, 4, 5], (5, 5)))
    assert float(alone["loss"]) == pytest.approx(float(beside["loss"]), abs=1e-5)
