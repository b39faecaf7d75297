"""base.json: where the frozen models lie, what they are, and what was measured; or a refusal."""

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


def test_given_folders_are_recorded_with_their_digests(config):
    prepare_base(config)
    record = read(config)
    assert record["kind"] == "given"
    assert record["digests"]["vlm"] == weight_digest(load_vlm(config.base.vlm)[0])
    assert record["held_out"] is None
    assert record["held_out_reason"]


def test_a_name_that_nothing_has_is_refused_with_a_hint(config, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wrong = with_base(config, vlm="nobody/no-such-model")
    with pytest.raises(ModelError, match=r"\[base\.vlm\]") as caught:
        resolve_vlm(wrong)
    assert "hf download nobody/no-such-model" in str(caught.value)
    with pytest.raises(ModelError, match=r"\[base\.vlm\]"):
        resolve_vlm(with_base(config, vlm="../no such folder"))


def test_a_laion_checkpoint_serves_as_audio_encoder(config, tmp_path):
    from transformers import ClapModel

    path = save(tmp_path / "clap.pt", as_laion(ClapModel(tiny_config())))
    prepare_base(with_base(config, audio_encoder=str(path)))
    assert "laion-" in read(config)["audio_encoder"]


def released(config, monkeypatch, held_out):
    """A run of a miniature (the tiny folders) that is measured as `held_out`."""
    from safe.hearing.miniature.base import released as released_module

    folder = config.folder.parents[1] / "models"
    card = SimpleNamespace(name="world", recipe_digest="0" * 64)
    monkeypatch.setattr(released_module, "open_released", lambda c: (folder, card))
    monkeypatch.setattr(module, "_measure", lambda *a: held_out)
    return with_base(config, miniature="world", vlm=None, audio_encoder=None)


def test_a_released_base_records_what_it_is_and_can_do(config, monkeypatch):
    prepare_base(released(config, monkeypatch, GOOD))
    record = read(config)
    assert record["kind"] == "released"
    assert record["vlm_id"] == "safe-miniature-world/vlm"
    assert record["recipe_digest"] == "0" * 64
    assert record["held_out"] == GOOD


def test_a_base_that_does_not_see_is_refused_and_its_numbers_kept(config, monkeypatch):
    blind = GOOD | {"vl": {"colour": {"accuracy": 0.5, "n": 200, "ci": [0.43, 0.57]}}}
    with pytest.raises(ModelError, match=r"colour: 0\.500 of 200, under 0\.97"):
        prepare_base(released(config, monkeypatch, blind))
    assert not (config.folder / "base.json").exists()
    refused = json.loads((config.folder / "base_refused.json").read_text())
    assert refused["held_out"] == blind
    prepare_base(released(config, monkeypatch, GOOD))
    assert not (config.folder / "base_refused.json").exists()


def test_without_a_manifest_a_miniature_cannot_be_measured(config):
    (config.folder / "data" / "manifest.parquet").unlink()
    with pytest.raises(ModelError, match="prepare-data"):
        module._held_out_samples(config)
