"""Null space and Fisher penalty in Stage A: they hold pictures, and a killed run loses nothing."""

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

GUARDS = {"null_space": 8, "fisher": 1.0, "retention_rows": 12, "null_space_update_interval": 5}
FAST = {"distillation": 0.0, "steps": 60, "projector_lr": 1e-2, "lora_lr": 1e-2}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), vl=30, audio=24, stage_a=SETTINGS)


@torch.no_grad()
def drift(config, stage):
    keeping = open_stage(config)
    keeping.model.load_state_dict(stage.model.state_dict())
    whole = list(range(len(keeping.data.audio_examples), len(keeping.rows)))
    return float(StageAObjective(1.0)(keeping.model, keeping.make(whole, whole, 0))["divergence"])


@pytest.fixture(scope="module")
def unguarded(config):
    stage = open_stage(config, **FAST)
    train(stage, config)
    return drift(config, stage)


@pytest.mark.parametrize(
    "guard",
    [
        {"null_space": 24, "retention_rows": 30, "null_space_update_interval": 5},
        {"fisher": 1e4, "retention_rows": 30},
    ],
    ids=["null space", "fisher"],
)
def test_a_guard_lessens_the_drift(config, unguarded, guard):
    stage = open_stage(config, **FAST, **guard)
    train(stage, config)
    assert drift(config, stage) < unguarded


@pytest.mark.parametrize("of", ["log_probability", "margin"])
def test_gradients_say_how_the_bases_answer_changes(config, of):
    stage = open_stage(config, **GUARDS)
    tensors = list(stage.model.trainable().values())
    before = stage.gradients(4, 0, of)
    assert before.shape == (4, sum(t.numel() for t in tensors))
    torch.manual_seed(0)
    step = 1e-4 * torch.randn(before.shape[1])
    said = []
    for sign in (-1.0, 1.0):
        moved, start = open_stage(config, **GUARDS), 0
        with torch.no_grad():
            for tensor in moved.model.trainable().values():
                part = step[start : start + tensor.numel()].view_as(tensor)
                tensor.add_(part, alpha=sign)
                start += tensor.numel()
        said.append(likely(moved, 4, of))
    central = (said[1] - said[0]) / 2
    assert torch.allclose(before @ step, central, rtol=0.01, atol=1e-4)


@torch.no_grad()
def likely(stage, count, of):
    """How likely what the base says is, of the rows that `gradients(count, 0, of)` takes."""
    import numpy as np

    rng = np.random.default_rng([stage.seed, 6, 0])
    first = len(stage.data.audio_examples)
    numbers = [first + int(i) for i in rng.permutation(len(stage.data.vl_examples))[:count]]
    found = []
    for number in numbers:
        batch = stage.make([number], numbers, 0)
        logits = stage.model.answer_logits(**batch.inputs)[batch.inputs["answer_mask"].bool()]
        said = stage.teacher.logits([stage.rows[number]]).argmax(-1, keepdim=True)
        if of == "log_probability":
            found.append(logits.log_softmax(-1).gather(-1, said).sum())
            continue
        lead = 0.0
        for position, token in enumerate(said.flatten().tolist()):
            others = [v for n, v in enumerate(logits[position].tolist()) if n != token]
            lead += float(logits[position, token]) - max(others)
        found.append(torch.tensor(lead))
    return torch.stack(found)


def test_a_guarded_run_that_is_cut_ends_bit_for_bit_as_a_whole_one(config, tmp_path, monkeypatch):
    whole, cut, resumed = (open_stage(config, **GUARDS) for _ in range(3))
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


def test_a_budget_too_small_is_refused_before_training(config):
    with pytest.raises(ConfigError, match="null-space basis"):
        open_stage(config, **GUARDS, null_space_gb=1e-6)


def test_a_guard_that_has_nothing_to_hold_is_refused(config, monkeypatch):
    """With the gate OFF no trainable weight takes part in an answer."""
    stage = open_stage(config, **GUARDS)
    monkeypatch.setattr(stage.retention, "gradients", lambda n, seed, of: torch.zeros(n, 10))
    with pytest.raises(TrainingError, match="mean Fisher information"):
        train(stage, config)
