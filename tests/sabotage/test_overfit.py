"""03 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

import dataclasses

import pytest
import torch

from safe.errors import TrainingError
from safe.hearing.config import parse_run_config
from safe.hearing.experiments.tiny_overfit.training import Overfit
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training import losses
from safe.hearing.training.features import Features
from safe.hearing.training.trainer import Trainer
from tests.faults import fault
from tests.judging import decide, run, verdicts
from tests.tiny_run import make_learnable_run

EXPERIMENT = "03_tiny_overfit"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_learnable_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def short(config):
    """Enough steps for a learning curve, for faults that show at once."""
    values = config.model_dump(mode="json")
    values["tiny_overfit"]["steps"] = 20
    return parse_run_config(values, "t")


def outcome(config, tmp_path):
    decision = decide(config, EXPERIMENT, run(config, EXPERIMENT, tmp_path / "03")[1])
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


@fault(
    "training",
    "a scheduler that never leaves zero",
    "03.loss",
    "03.audio_accuracy",
    "03.learning_plateau",
)
def test_zero_learning_rate_fails_loss_accuracy_and_plateau(config, tmp_path):
    values = config.model_dump(mode="json")
    values["tiny_overfit"] |= {"projector_lr": 1e-12, "lora_lr": 1e-12, "steps": 180}
    found = outcome(parse_run_config(values, "t"), tmp_path)
    assert found["03.loss"] == "fail"
    assert found["03.audio_accuracy"] == "fail"
    assert found["03.learning_plateau"] == "fail"
    assert found["03.vl_unchanged"] == "pass"


@fault("data", "a loader that returns the first sound of a batch for all", "03.audio_accuracy")
def test_same_sound_for_every_example_fails_audio_accuracy(config, tmp_path, monkeypatch):
    """Only the prior of the answers can be learned."""
    real = Features.audio

    def audio(self, samples):
        return real(self, samples)[:1].expand(len(samples), -1).clone()

    monkeypatch.setattr(Features, "audio", audio)
    monkeypatch.setattr(Features, "image", lambda self, samples: torch.zeros(len(samples), 4, 32))
    found = outcome(config, tmp_path)
    assert found["03.audio_accuracy"] == "fail"
    assert found["03.learning_plateau"] == "fail"


@fault("training", "a tiny split memorised from its pictures", "03.audio_needed")
def test_memorised_pictures_without_audio_fail_audio_needed(config, tmp_path, monkeypatch):
    """The answers are correct but do not depend on the audio."""
    real = SafeModel.hear
    monkeypatch.setattr(SafeModel, "hear", lambda self, audio, rows: real(self, audio, rows) * 0)
    assert outcome(config, tmp_path)["03.audio_needed"] == "fail"


@fault("data", "label noise from a shuffle without its seed", "03.loss", "03.audio_accuracy")
def test_labels_shuffled_at_every_step_fail_loss_and_accuracy(config, tmp_path, monkeypatch):
    """Labels unrelated to their examples cannot be memorised."""
    real, generator = Overfit._training_batch, torch.Generator().manual_seed(0)

    def shuffled(self, numbers, whole, step):
        batch = real(self, numbers, whole, step)
        order = torch.randperm(len(numbers), generator=generator)
        mixed = {n: batch.inputs[n][order] for n in ("answer_ids", "answer_mask")}
        return dataclasses.replace(batch, inputs={**batch.inputs, **mixed})

    monkeypatch.setattr(Overfit, "_training_batch", shuffled)
    found = outcome(config, tmp_path)
    assert found["03.loss"] == "fail"
    assert found["03.audio_accuracy"] == "fail"


@fault("model", "a base weight that an optimiser updates", "03.vl_unchanged")
def test_base_weight_that_changes_in_training_fails_vl_unchanged(short, tmp_path, monkeypatch):
    """One weight of the base changes slightly, which must show with the gate OFF."""
    real = Trainer.step

    def step(self, number):
        with torch.no_grad():
            self.model.base.language_model.model.decoder.layers[0].fc1.bias[0] += 1e-3
        return real(self, number)

    monkeypatch.setattr(Trainer, "step", step)
    assert outcome(short, tmp_path)["03.vl_unchanged"] == "fail"


@fault("model", "a merged adapter that cannot be switched off", "03.vl_unchanged")
def test_adapter_active_when_off_fails_vl_unchanged(short, tmp_path, monkeypatch):
    """No effect before training, when LoRA is zero."""
    real = SafeModel._run_base

    def run_base(self, batch, kwargs):
        self.base.language_model, kept = self.language_model, self.base.language_model
        try:
            return real(self, batch, kwargs)
        finally:
            self.base.language_model = kept

    monkeypatch.setattr(SafeModel, "_run_base", run_base)
    assert outcome(short, tmp_path)["03.vl_unchanged"] == "fail"


@fault("training", "a loss with the wrong sign", "03.learning_curve")
def test_gradient_ascent_fails_learning_curve(config, tmp_path, monkeypatch):
    """A smoothly rising loss is not learning."""
    values = config.model_dump(mode="json")
    values["tiny_overfit"] |= {"projector_lr": 2e-4, "lora_lr": 2e-4, "steps": 180}
    real = losses.answer_cross_entropy

    class Ascent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, loss):
            return loss.clone()

        @staticmethod
        def backward(ctx, gradient):
            return -gradient

    monkeypatch.setattr(losses, "answer_cross_entropy", lambda *given: Ascent.apply(real(*given)))
    found = outcome(parse_run_config(values, "t"), tmp_path)
    assert found["03.learning_curve"] == "fail"


@fault("training", "a training that diverges to NaN")
def test_divergence_stops_the_run_without_a_measurement(config, tmp_path):
    values = config.model_dump(mode="json")
    values["tiny_overfit"] |= {"projector_lr": 1e30, "lora_lr": 1e30, "warmup": 0.0}
    with pytest.raises(TrainingError, match=r"at step \d+, in the batch of tiny/train"):
        run(parse_run_config(values, "t"), EXPERIMENT, tmp_path / "03")
