"""The training loop: it learns, stops at non-finite values, and resumes identically."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from safe.errors import TrainingError
from safe.hearing.config import AdapterConfig, LoraConfig
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.sampler import LengthBatches
from safe.hearing.training.trainer import Trainer, TrainingBatch, TrainSettings, parameter_groups
from tests.paths import ROOT
from tests.tiny_models import tiny_audio_encoder, tiny_vlm

SETTINGS = TrainSettings(
    steps=12,
    projector_lr=1e-2,
    lora_lr=5e-3,
    warmup=0.1,
    clip_norm=1.0,
    seed=3,
    checkpoint_every=4,
)
ROWS, ANSWER = 8, 2


def make_trainer(checkpoint=None, *, settings=SETTINGS, fingerprint="f", dropout=0.2):
    """Eight rows of random features whose answer token depends on the sound."""
    config = AdapterConfig(audio_tokens=3, hidden=16, lora=LoraConfig(rank=2, dropout=dropout))
    model = SafeModel(tiny_vlm(), tiny_audio_encoder(), config, seed=0)
    generator = torch.Generator().manual_seed(7)
    sounds = torch.randn(ROWS, 24, generator=generator)
    image = torch.randn(ROWS, 4, 32, generator=generator)
    token = model.base.config.image_token_index
    prompt = torch.tensor([[token] * 4 + [0, 3, 4, 5]]).expand(ROWS, -1)

    def make(rows, whole, step):
        answers = torch.tensor([[10 + r % 4, 2] for r in rows])
        inputs = {
            "input_ids": prompt[rows],
            "attention_mask": torch.ones(len(rows), 8, dtype=torch.long),
            "answer_ids": answers,
            "answer_mask": torch.ones_like(answers),
            "gate": True,
            "audio": sounds[rows],
            "image_tokens": image[rows],
        }
        return TrainingBatch(inputs, [f"row-{r}" for r in rows], tokens=2 * len(whole))

    batches = LengthBatches([10] * ROWS, 4, seed=1)
    return Trainer(model, batches, make, settings, checkpoint=checkpoint, fingerprint=fingerprint)


def weights(trainer):
    return {n: p.detach().clone() for n, p in trainer.model.trainable().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_loss_decreases():
    settings = TrainSettings(
        **{**{f: getattr(SETTINGS, f) for f in SETTINGS.__slots__}, "steps": 80}
    )
    history = make_trainer(settings=settings, dropout=0.0).run()
    assert len(history) == 80
    assert history[-1].loss < 0.5 * history[0].loss
    assert all(r.gradient_norm > 0 for r in history)


def test_projector_and_lora_have_separate_learning_rates():
    trainer = make_trainer()
    groups = {g["name"]: g for g in parameter_groups(trainer.model, SETTINGS)}
    assert groups["projector"]["lr"] == 1e-2
    assert groups["lora"]["lr"] == 5e-3
    sizes = {n: sum(p.numel() for p in g["params"]) for n, g in groups.items()}
    assert sum(sizes.values()) == sum(p.numel() for p in trainer.model.trainable().values())
    assert min(sizes.values()) > 0


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.unit.hearing.training.test_trainer import make_trainer
trainer = make_trainer(Path(sys.argv[1]))
step = trainer.step
def dying(n):
    if n == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(n)
trainer.step = dying
trainer.run()
"""


def test_killed_run_resumes_bit_for_bit(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = make_trainer()
        history = whole.run()
        path = tmp_path / "c.pt"
        died = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), "9"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "."},
            capture_output=True,
            check=False,
        )
        assert died.returncode == -signal.SIGKILL
        resumed = make_trainer(path)
        again = resumed.run()
    finally:
        torch.set_num_threads(threads)
    assert resumed.resumed_at == 8
    assert repr(again) == repr(history)  # NaN for terms that the objective lacks
    assert same(weights(whole), weights(resumed))


def test_finished_run_is_not_trained_again(tmp_path):
    first = make_trainer(tmp_path / "c.pt")
    first.run()
    second = make_trainer(tmp_path / "c.pt")
    second.step = None  # fails if called
    assert repr(second.run()) == repr(first.history)
    assert same(weights(first), weights(second))


def test_checkpoint_with_another_fingerprint_is_not_used(tmp_path):
    make_trainer(tmp_path / "c.pt").run()
    other = make_trainer(tmp_path / "c.pt", fingerprint="other")
    other.run()
    assert other.resumed_at is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x80\x04K\x01."])
def test_damaged_checkpoint_is_reported_and_not_used(tmp_path, content):
    path = tmp_path / "c.pt"
    path.write_bytes(content)
    trainer = make_trainer(path)
    with pytest.warns(UserWarning, match="training restarts"):
        trainer.run()
    assert trainer.resumed_at is None
    assert len(trainer.history) == 12


def test_checkpoints_execute_no_code(tmp_path):
    """A pickle that would call a function is refused."""
    path = tmp_path / "c.pt"
    torch.save({"fingerprint": "f", "adapter": Path("x")}, path)
    with pytest.warns(UserWarning, match="training restarts"):
        make_trainer(path).run()


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_non_finite_value_stops_with_step_rows_and_hint(tmp_path, where):
    trainer = make_trainer(tmp_path / "c.pt")
    real, calls = trainer.make, []

    def faulty(rows, whole, step):
        batch = real(rows, whole, step)
        calls.append(rows)
        if len(calls) == 6 and where == "loss":
            trainer.model.projector.down.bias.data.fill_(float("nan"))
        return batch

    trainer.make = faulty
    if where == "gradient":
        weight = trainer.model.projector.up.weight
        weight.register_hook(lambda g: g * float("inf") if len(calls) == 6 else g)
    with pytest.raises(TrainingError, match=rf"the {where} is (nan|inf) at step 5, .*row-\d") as e:
        trainer.run()
    assert "lower the learning rates" in str(e.value)
    assert (tmp_path / "c.pt").exists()  # of step 4
