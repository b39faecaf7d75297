"""base.json: paths, digests and evaluation of the frozen models, or a refusal."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from safe.errors import ModelError
from safe.hearing.models.base import load_vlm
from safe.hearing.models.weights import weight_digest
from safe.hearing.prepare import base as module
from safe.hearing.prepare.base import prepare_base
from safe.hearing.training.model_sources import resolve_vlm
from tests.tiny_run import make_run
from tests.unit.hearing.models.test_laion_clap import as_laion, save, tiny_config

GOOD = {
    "vl": {"colour": {"accuracy": 0.99, "n": 200, "ci": [0.96, 1.0]}},
    "audio": {},
    "clap_zero_shot": {"accuracy": 0.98, "n": 100, "ci": [0.93, 0.99]},
}


@pytest.fixture
def config(tmp_path):
    return make_run(tmp_path)


def with_base(config, **base):
    return config.model_copy(update={"base": config.base.model_copy(update=base)})


def read(config):
    return json.loads((config.folder / "base.json").read_text())


def test_configured_folders_are_recorded_with_their_digests(config):
    prepare_base(config)
    record = read(config)
    assert record["kind"] == "given"
    assert record["digests"]["vlm"] == weight_digest(load_vlm(config.base.vlm)[0])
    assert record["held_out"] is None
    assert record["held_out_reason"]


def test_unknown_model_name_is_refused_with_a_hint(config, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wrong = with_base(config, vlm="nobody/no-such-model")
    with pytest.raises(ModelError, match=r"\[base\.vlm\]") as caught:
        resolve_vlm(wrong)
    assert "hf download nobody/no-such-model" in str(caught.value)
    with pytest.raises(ModelError, match=r"\[base\.vlm\]"):
        resolve_vlm(with_base(config, vlm="../no such folder"))


def test_laion_checkpoint_is_converted_to_an_audio_encoder(config, tmp_path):
    from transformers import ClapModel

    path = save(tmp_path / "clap.pt", as_laion(ClapModel(tiny_config())))
    prepare_base(with_base(config, audio_encoder=str(path)))
    assert "laion-" in read(config)["audio_encoder"]


def released(config, monkeypatch, held_out):
    """A run with a miniature (the tiny folders) whose evaluation is `held_out`."""
    from safe.hearing.miniature.base import released as released_module

    folder = config.folder.parents[1] / "models"
    card = SimpleNamespace(name="world", recipe_digest="0" * 64)
    monkeypatch.setattr(released_module, "open_released", lambda c: (folder, card))
    monkeypatch.setattr(module, "_measure", lambda *a: held_out)
    return with_base(config, miniature="world", vlm=None, audio_encoder=None)


def test_released_base_is_recorded_with_recipe_and_evaluation(config, monkeypatch):
    prepare_base(released(config, monkeypatch, GOOD))
    record = read(config)
    assert record["kind"] == "released"
    assert record["vlm_id"] == "safe-miniature-world/vlm"
    assert record["recipe_digest"] == "0" * 64
    assert record["held_out"] == GOOD


def test_base_below_the_floors_is_refused_and_its_evaluation_kept(config, monkeypatch):
    weak = GOOD | {"vl": {"colour": {"accuracy": 0.5, "n": 200, "ci": [0.43, 0.57]}}}
    with pytest.raises(ModelError, match=r"colour: 0\.500 of 200, under 0\.97"):
        prepare_base(released(config, monkeypatch, weak))
    assert not (config.folder / "base.json").exists()
    refused = json.loads((config.folder / "base_refused.json").read_text())
    assert refused["held_out"] == weak
    prepare_base(released(config, monkeypatch, GOOD))
    assert not (config.folder / "base_refused.json").exists()


def test_missing_manifest_is_named_when_evaluating_a_miniature(config):
    (config.folder / "data" / "manifest.parquet").unlink()
    with pytest.raises(ModelError, match="prepare-data"):
        module._held_out_samples(config)


def test_large_models_are_refused_at_a_scale_for_miniatures(config, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_MINIATURE", 1_000)
    with pytest.raises(ModelError) as caught:
        prepare_base(config)
    assert caught.value.key == "scale"
    prepare_base(config.model_copy(update={"scale": "full"}))
