"""Warm start from a saved adapter: identical outputs, and dropout only in training."""

import pytest
import torch

from safe.errors import ModelError
from safe.hearing.models.checkpoint import save_adapter
from safe.hearing.training.teacher_forcing import teacher_forced
from safe.hearing.training.warm_start import warm_start
from tests.tiny_run import make_run
from tests.unit.hearing.training.test_stage_a import open_stage, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    settings = {"rows": 60, "steps": 30, "batch_size": 8, "projector_lr": 1e-2, "lora_lr": 1e-2}
    config = make_run(root, vl=30, audio=24, stage_a=settings)
    stage = open_stage(config)
    train(stage, config)
    opened = stage.feeder.features.opened
    save_adapter(
        stage.model, root / "adapter", base=opened.vlm_ref, audio_encoder=opened.audio_encoder_ref
    )
    return stage, root / "adapter"


def test_weights_are_the_saved_ones(trained):
    stage, folder = trained
    model = warm_start(folder, stage.feeder.features.opened, seed=5, dropout=0.3)
    known = stage.model.trainable()
    assert {n: torch.equal(w, known[n]) for n, w in model.trainable().items()} == dict.fromkeys(
        known, True
    )
    assert all(w.requires_grad for w in model.trainable().values())
    assert model.config.lora.dropout == 0.3
    assert warm_start(folder, stage.feeder.features.opened, seed=5).config == stage.model.config


def test_outputs_are_unchanged_until_training_mode(trained):
    stage, folder = trained
    rows = stage.data.audio_examples[:8]
    before = [a.right for a in teacher_forced(stage.feeder, rows)]
    model = warm_start(folder, stage.feeder.features.opened, seed=0, dropout=0.5)
    inputs = stage.feeder.scoring(rows)
    model.eval()
    assert torch.equal(model.score(**inputs), stage.model.score(**inputs))
    model.train()
    assert not torch.equal(model.score(**inputs), stage.model.score(**inputs))
    assert [a.right for a in teacher_forced(stage.feeder, rows)] == before


def test_missing_adapter_is_an_error(trained, tmp_path):
    with pytest.raises(ModelError):
        warm_start(tmp_path, trained[0].feeder.features.opened, seed=0)
