"""02 with planted faults: the criterion for each fault fails and the gate is NO-GO."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from safe.hearing.config import parse_run_config
from safe.hearing.experiments.base_parity import measure as base_parity
from safe.hearing.models import lora
from safe.hearing.models.full_size import PLAN_ADAPTER, build_full_size
from safe.hearing.models.safe_model import SafeModel
from tests.faults import fault
from tests.judging import decide, run, verdicts
from tests.tiny_run import make_run

EXPERIMENT = "02_base_parity"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Small for speed; `large` has the 1,000 samples that some tests need."""
    return make_run(tmp_path_factory.mktemp("run"), vl=10, parity={"max_new_tokens": 2})


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("large"), vl=500, parity={"max_new_tokens": 2, "batch_size": 100}
    )


def outcome(config, tmp_path):
    decision = decide(config, EXPERIMENT, run(config, EXPERIMENT, tmp_path / "02")[1])
    assert decision.verdict == "NO-GO"
    return verdicts(decision)


def plant_when_built(monkeypatch, fault):
    """Plant `fault(model)` into every SafeModel that `measure` builds from a base."""
    real = SafeModel.__init__

    def faulty(self, base, *args, **kwargs):
        real(self, base, *args, **kwargs)
        if not base.get_input_embeddings().weight.is_meta:
            fault(self)

    monkeypatch.setattr(SafeModel, "__init__", faulty)


def test_without_a_fault_the_small_run_passes(config, tmp_path):
    """The criteria that the following tests check pass without a fault."""
    found = verdicts(decide(config, EXPERIMENT, run(config, EXPERIMENT, tmp_path / "02")[1]))
    for name in ("trainable_set", "all_trained", "backbone_frozen", "no_overhead"):
        assert found[f"02.{name}"] == "pass"


@fault("model", "PEFT layers that replace those of the base and stay active", "02.logits_equal")
def test_lora_inside_the_base_fails_parity(large, tmp_path, monkeypatch):
    """The default of PEFT: its layers replace those of the base and are active when OFF."""
    monkeypatch.setattr(lora, "share_weights", lambda module: module)
    found = outcome(large, tmp_path)
    assert found["02.logits_equal"] == "fail"
    assert found["02.vqa_identical"] == "fail"
    assert found["02.no_overhead"] == "fail"


@fault("model", "an adapter that is active with the gate OFF", "02.logits_equal")
def test_lora_active_when_off_fails_logits_equal(large, tmp_path, monkeypatch):
    def run_base(self, batch, kwargs):
        self.base.language_model, kept = self.language_model, self.base.language_model
        try:
            inputs = {"pixel_values": batch.pixel_values, "input_ids": batch.input_ids}
            return self.base(**inputs, attention_mask=batch.attention_mask, **kwargs)
        finally:
            self.base.language_model = kept

    monkeypatch.setattr(SafeModel, "_run_base", run_base)
    found = outcome(large, tmp_path)
    assert found["02.logits_equal"] == "fail"
    assert found["02.no_overhead"] == "fail"
    assert found["02.backbone_frozen"] == "pass"


@fault("evaluation", "another decoding than the base's with the gate OFF", "02.vqa_identical")
def test_other_generation_options_when_off_fail_vqa_identical(large, tmp_path, monkeypatch):
    """Logits are equal but generation differs, so only the answers show the fault."""
    real = SafeModel.generate

    def generate(self, *args, **kwargs):
        longer = {"max_new_tokens": kwargs["max_new_tokens"] + 1, "min_new_tokens": 3}
        return real(self, *args, **{**kwargs, **longer})

    monkeypatch.setattr(SafeModel, "generate", generate)
    found = outcome(large, tmp_path)
    assert found["02.logits_equal"] == "pass"
    assert found["02.vqa_identical"] == "fail"


@fault("model", "one backbone tensor left trainable", "02.backbone_frozen")
def test_trainable_backbone_weight_fails_backbone_frozen(config, tmp_path, monkeypatch):
    def fault(model):
        model.base.language_model.model.decoder.final_layer_norm.weight.requires_grad_(True)

    plant_when_built(monkeypatch, fault)
    found = outcome(config, tmp_path)
    assert found["02.backbone_frozen"] == "fail"
    assert found["02.trainable_set"] == "fail"


@pytest.mark.parametrize("job", ["base", "audio_encoder"])
@fault("model", "a base patched in place", "02.backbone_frozen")
def test_frozen_weight_that_changes_fails_backbone_frozen(config, tmp_path, monkeypatch, job):
    """The weight needs no gradient but is modified in place."""
    real = base_parity._train

    def train(model, *args):
        graded = real(model, *args)
        tower = model.base.qformer if job == "base" else model.audio_encoder_model.audio_model
        with torch.no_grad():
            next(tower.parameters()).view(-1)[0] += 1e-4
        return graded

    monkeypatch.setattr(base_parity, "_train", train)
    found = outcome(config, tmp_path)
    assert found["02.backbone_frozen"] == "fail"
    assert found["02.trainable_set"] == "pass"


@fault("model", "batch statistics of the audio encoder updated in training", "02.backbone_frozen")
def test_audio_encoder_batch_norm_in_training_fails_backbone_frozen(config, tmp_path, monkeypatch):
    """Running statistics are not parameters but follow the training data."""
    real = SafeModel.train

    def train(self, mode=True):
        real(self, mode)
        self.audio_encoder_model.train(mode)
        return self

    monkeypatch.setattr(SafeModel, "train", train)
    assert outcome(config, tmp_path)["02.backbone_frozen"] == "fail"


@fault("model", "an adapter trained on a copy of a tied weight", "02.trainable_set")
def test_copy_of_a_shared_weight_fails_trainable_set(config, tmp_path, monkeypatch):
    def fault(model):
        layer = model.language_model.model.decoder.layers[0].fc1
        layer.weight = nn.Parameter(layer.weight.clone())

    plant_when_built(monkeypatch, fault)
    found = outcome(config, tmp_path)
    assert found["02.trainable_set"] == "fail"
    assert found["02.backbone_frozen"] == "fail"


@fault("model", "a forgotten head that trains along", "02.trainable_set")
def test_additional_trainable_module_fails_trainable_set(config, tmp_path, monkeypatch):
    plant_when_built(monkeypatch, lambda model: model.add_module("helper", nn.Linear(2, 2)))
    found = outcome(config, tmp_path)
    assert found["02.trainable_set"] == "fail"
    assert found["02.backbone_frozen"] == "pass"


@fault("model", "a projector frozen with the backbone", "02.trainable_set")
def test_frozen_projector_fails_trainable_set(config, tmp_path, monkeypatch):
    plant_when_built(monkeypatch, lambda model: model.projector.requires_grad_(False))
    assert outcome(config, tmp_path)["02.trainable_set"] == "fail"


@fault("model", "a hook left behind by a profiler", "02.no_overhead")
def test_leftover_hook_fails_no_overhead(config, tmp_path, monkeypatch):
    def fault(model):
        model.base.language_model.register_forward_hook(lambda *_: None)

    plant_when_built(monkeypatch, fault)
    assert outcome(config, tmp_path)["02.no_overhead"] == "fail"


@fault("model", "audio encoded although the gate is OFF", "02.no_overhead")
def test_audio_encoded_while_off_fails_no_overhead(config, tmp_path, monkeypatch):
    real = SafeModel.forward

    def forward(self, *args, audio=None, **kwargs):
        if audio is not None:
            self.audio_encoder.embed(audio)
        return real(self, *args, audio=audio, **kwargs)

    monkeypatch.setattr(SafeModel, "forward", forward)
    found = outcome(config, tmp_path)
    assert found["02.no_overhead"] == "fail"


@fault("model", "a rank ten times the planned one", "02.trainable_count")
def test_too_many_trainable_parameters_fail_trainable_count(config, tmp_path):
    values = config.model_dump(mode="json")
    values["adapter"]["hidden"] = 20_000
    assert outcome(parse_run_config(values, "t"), tmp_path)["02.trainable_count"] == "fail"


@fault("model", "a plan that is small only in the miniature", "02.trainable_count_full")
def test_too_many_parameters_at_full_size_fail_trainable_count_full(config, tmp_path, monkeypatch):
    heavy = PLAN_ADAPTER.model_copy(update={"audio_tokens": 64})
    monkeypatch.setattr(base_parity, "build_full_size", lambda: build_full_size(heavy))
    found = outcome(config, tmp_path)
    assert found["02.trainable_count_full"] == "fail"
    assert found["02.trainable_count"] == "pass"


@fault("model", "NaN logits that compare as equal")
def test_nan_logits_are_an_error(config, tmp_path, monkeypatch):
    """NaN is not equal to NaN, so it must not count as a difference of zero."""

    def fault(model):
        with torch.no_grad():
            model.base.language_projection.bias.fill_(float("nan"))

    plant_when_built(monkeypatch, fault)
    assert outcome(config, tmp_path)["02.logits_equal"] == "error"


@fault("training", "the projector's output detached, so that it never learns", "02.all_trained")
def test_projector_cut_off_from_the_loss_is_no_go(config, tmp_path, monkeypatch):
    """LoRA alone learns from a random projection; later experiments measured a gain of 0.63."""
    plant_when_built(
        monkeypatch,
        lambda model: model.projector.register_forward_hook(lambda *given: given[-1].detach()),
    )
    found = outcome(config, tmp_path)
    assert found["02.all_trained"] == "fail"
    assert found["02.trainable_set"] == "pass"


@fault("training", "an optimiser built before the adapter was attached", "02.all_trained")
def test_lora_whose_update_is_lost_is_no_go(config, tmp_path, monkeypatch):
    """A tensor is restored after every step, as a wrongly ordered hook would do."""
    real = base_parity._train

    def train(model, *args):
        weight = next(w for n, w in model.trainable().items() if "lora_B" in n)
        start = weight.detach().clone()
        graded = real(model, *args)
        with torch.no_grad():
            weight.copy_(start)
        return graded

    monkeypatch.setattr(base_parity, "_train", train)
    assert outcome(config, tmp_path)["02.all_trained"] == "fail"


@fault("model", "a constant of 1e-6 added to gate-OFF logits", "02.logits_identical")
def test_constant_offset_below_the_plans_limit_is_no_go(large, tmp_path, monkeypatch):
    real = SafeModel.forward

    def forward(self, *args, gate=None, **kwargs):
        done = real(self, *args, gate=gate, **kwargs)
        return replace(done, logits=done.logits + 1e-6)

    monkeypatch.setattr(SafeModel, "forward", forward)
    found = outcome(large, tmp_path)
    assert found["02.logits_equal"] == "pass"
    assert found["02.logits_identical"] == "fail"
