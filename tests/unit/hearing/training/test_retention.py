"""Null space and Fisher penalty in Stage A: less drift, and runs that can be killed."""

import pytest
import torch

from safe.errors import ConfigError, TrainingError
from safe.hearing.training.losses import StageAObjective
from safe.hearing.training.trainer import Trainer
from tests.tiny_run import make_run
from tests.unit.hearing.training.test_stage_a import (
    SETTINGS,
    difference,
    open_stage,
    train,
    weights,
)

METHODS = {"null_space": 8, "fisher": 1.0, "retention_rows": 12, "null_space_update_interval": 5}
FAST = {"distillation": 0.0, "steps": 60, "projector_lr": 1e-2, "lora_lr": 1e-2}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), vl=30, audio=24, stage_a=SETTINGS)


@torch.no_grad()
def drift(config, stage):
    copy = open_stage(config)
    copy.model.load_state_dict(stage.model.state_dict())
    whole = list(range(len(copy.data.audio_examples), len(copy.rows)))
    return float(StageAObjective(1.0)(copy.model, copy.make(whole, whole, 0))["divergence"])


@pytest.fixture(scope="module")
def drift_without(config):
    stage = open_stage(config, **FAST)
    train(stage, config)
    return drift(config, stage)


@pytest.mark.parametrize(
    "method",
    [
        {"null_space": 24, "retention_rows": 30, "null_space_update_interval": 5},
        {"fisher": 1e4, "retention_rows": 30},
    ],
    ids=["null space", "fisher"],
)
def test_retention_method_reduces_the_drift(config, drift_without, method):
    stage = open_stage(config, **FAST, **method)
    train(stage, config)
    assert drift(config, stage) < drift_without


@pytest.mark.parametrize("of", ["log_probability", "margin"])
def test_gradients_predict_the_change_of_the_bases_answer(config, of):
    stage = open_stage(config, **METHODS)
    tensors = list(stage.model.trainable().values())
    before = stage.gradients(4, 0, of)
    assert before.shape == (4, sum(t.numel() for t in tensors))
    torch.manual_seed(0)
    step = 1e-4 * torch.randn(before.shape[1])
    found = []
    for sign in (-1.0, 1.0):
        moved, start = open_stage(config, **METHODS), 0
        with torch.no_grad():
            for tensor in moved.model.trainable().values():
                part = step[start : start + tensor.numel()].view_as(tensor)
                tensor.add_(part, alpha=sign)
                start += tensor.numel()
        found.append(score_of_base_answers(moved, 4, of))
    central = (found[1] - found[0]) / 2
    assert torch.allclose(before @ step, central, rtol=0.01, atol=1e-4)


@torch.no_grad()
def score_of_base_answers(stage, count, of):
    """The score of the base's answers for the rows that `gradients(count, 0, of)` takes."""
    import numpy as np

    rng = np.random.default_rng([stage.seed, 6, 0])
    first = len(stage.data.audio_examples)
    numbers = [first + int(i) for i in rng.permutation(len(stage.data.vl_examples))[:count]]
    found = []
    for number in numbers:
        batch = stage.make([number], numbers, 0)
        logits = stage.model.answer_logits(**batch.inputs)[batch.inputs["answer_mask"].bool()]
        tokens = stage.teacher.logits([stage.rows[number]]).argmax(-1, keepdim=True)
        if of == "log_probability":
            found.append(logits.log_softmax(-1).gather(-1, tokens).sum())
            continue
        margin = 0.0
        for position, token in enumerate(tokens.flatten().tolist()):
            others = [v for n, v in enumerate(logits[position].tolist()) if n != token]
            margin += float(logits[position, token]) - max(others)
        found.append(torch.tensor(margin))
    return torch.stack(found)


def test_killed_run_with_retention_resumes_bit_for_bit(config, tmp_path, monkeypatch):
    whole, cut, resumed = (open_stage(config, **METHODS) for _ in range(3))
    history = train(whole, config).history
    real, path = Trainer.step, tmp_path / "c.pt"

    def dying(self, step):
        if step == 9:
            raise KeyboardInterrupt
        return real(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            train(cut, config, path)
    again = train(resumed, config, path)
    assert again.resumed_at == 8
    assert again.history == history
    assert difference(weights(whole), weights(resumed)) == 0


def test_too_small_budget_is_refused_before_training(config):
    with pytest.raises(ConfigError, match="null-space basis"):
        open_stage(config, **METHODS, null_space_gb=1e-6)


def test_retention_without_gradients_is_refused(config, monkeypatch):
    """With the gate OFF no trainable weight affects an answer."""
    stage = open_stage(config, **METHODS)
    monkeypatch.setattr(stage.retention, "gradients", lambda n, seed, of: torch.zeros(n, 10))
    with pytest.raises(TrainingError, match="mean Fisher information"):
        train(stage, config)
