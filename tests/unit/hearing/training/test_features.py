"""Frozen features: encoded once, shared, validated, and never made up."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch

from safe.errors import ModelError
from safe.hearing.config import parse_run_config
from safe.hearing.data.feature_store import FeatureWarning
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import MediaRef
from safe.hearing.models.fusion import image_tokens
from safe.hearing.training import features as features_module
from safe.hearing.training.features import Features, picture
from safe.hearing.training.frozen_models import open_base
from tests.tiny_models import RATE
from tests.tiny_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), vl=8, audio=6)


@pytest.fixture(scope="module")
def opened(run):
    return open_base(run)


@pytest.fixture(scope="module")
def samples(run):
    return load_samples(run.folder / "data" / "manifest.parquet", split="train")


@pytest.fixture(scope="module")
def audio_examples(samples):
    return [s for s in samples if s.audio is not None]


@pytest.mark.parametrize("kind", ["embedding", "sequence"])
def test_features_agree_with_the_models(opened, samples, audio_examples, tmp_path, kind):
    features = Features(opened, tmp_path, kind)
    features.ensure(samples, audio_examples)
    assert features.faults == {}
    pixels = opened.processor.image_processor([picture(s) for s in samples], return_tensors="pt")
    with torch.inference_mode():
        seen = image_tokens(opened.vlm, pixels["pixel_values"])
    torch.testing.assert_close(features.image(samples), seen.clone(), rtol=1e-5, atol=1e-5)
    encode = opened.audio_encoder.embed if kind == "embedding" else opened.audio_encoder.sequence
    waves = [soundfile.read(s.audio.path, dtype="float32")[0] for s in audio_examples]
    torch.testing.assert_close(
        features.audio(audio_examples), encode(waves).clone(), rtol=1e-5, atol=1e-5
    )


def test_features_are_encoded_once_and_shared(opened, samples, audio_examples, tmp_path):
    first = Features(opened, tmp_path)
    first.ensure(samples[:4], audio_examples[:2])
    assert first.computed == {"image": 4, "audio": 2}
    second = Features(opened, tmp_path)
    second.ensure(samples, audio_examples)
    assert second.computed["audio"] == len(audio_examples) - 2
    assert torch.equal(first.image(samples[:4]), second.image(samples[:4]))
    third = Features(opened, tmp_path)
    third.ensure(samples, audio_examples)
    assert third.computed == {"image": 0, "audio": 0}


def test_another_base_or_preprocessing_uses_another_store(opened, tmp_path, monkeypatch):
    one = Features(opened, tmp_path)
    other_base = dataclasses.replace(
        opened, vlm_ref=opened.vlm_ref.model_copy(update={"digest": "other"})
    )
    assert Features(other_base, tmp_path).images.folder != one.images.folder
    assert Features(other_base, tmp_path).sounds.folder == one.sounds.folder
    monkeypatch.setattr(opened.processor.image_processor, "image_mean", [0.0, 0.0, 0.0])
    assert Features(opened, tmp_path).images.folder != one.images.folder


def test_damaged_entry_is_computed_again(opened, samples, tmp_path):
    features = Features(opened, tmp_path)
    features.ensure(samples, [])
    expected = features.image(samples)
    (shard,) = features.images.folder.glob("*.arrow")
    data = shard.read_bytes()
    at = data.index(np.ascontiguousarray(expected[2].numpy()).tobytes())
    shard.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    again = Features(opened, tmp_path)
    with pytest.warns(FeatureWarning):
        again.ensure(samples, [])
    assert again.computed["image"] == 1
    found = again.image(samples)
    torch.testing.assert_close(found, expected)  # a kernel may round a batch of one differently,
    others = [i for i, s in enumerate(samples) if s.image != samples[2].image]
    assert torch.equal(found[others], expected[others])  # but only that entry was computed


def test_pictures_are_processed_once_while_the_cache_has_room(
    opened, samples, tmp_path, monkeypatch
):
    opens = []
    monkeypatch.setattr(
        features_module, "picture", lambda sample: opens.append(sample.id) or picture(sample)
    )
    made = opened.processor.image_processor([picture(s) for s in samples], return_tensors="pt")
    expected = made["pixel_values"]
    features = Features(opened, tmp_path)
    assert torch.equal(features.pixels(samples), expected)
    distinct = len(opens)
    assert torch.equal(features.pixels(samples[::-1]), expected.flip(0))
    assert len(opens) == distinct
    monkeypatch.setattr(features_module, "PIXEL_BYTES", 2 * expected[0].nbytes)
    for _ in range(2):
        for sample, one in zip(samples, expected, strict=True):
            assert torch.equal(features.pixels([sample])[0], one)
    assert len(features._pixels) == 2
    assert len(opens) > distinct  # evicted entries are computed again with equal values


def test_unusable_sounds_and_pictures_are_named(opened, audio_examples, tmp_path):
    silent, header, cut = tmp_path / "silent.wav", tmp_path / "header.wav", tmp_path / "cut.png"
    soundfile.write(silent, np.zeros(RATE, np.float32), RATE)
    soundfile.write(header, np.zeros(0, np.float32), RATE)
    cut.write_bytes(audio_examples[0].image.path.read_bytes()[:60])
    faulty = [
        dataclasses.replace(audio_examples[0], id="silent", audio=MediaRef(silent)),
        dataclasses.replace(audio_examples[0], id="header", audio=MediaRef(header)),
        dataclasses.replace(audio_examples[0], id="gone", audio=MediaRef(tmp_path / "gone.wav")),
        dataclasses.replace(audio_examples[0], id="none", audio=None),
        dataclasses.replace(audio_examples[0], id="blind", image=MediaRef(cut)),
    ]
    features = Features(opened, tmp_path / "cache")
    features.ensure([*faulty, audio_examples[1]], [*faulty, audio_examples[1]])
    assert set(features.faults) == {"silent", "header", "gone", "none", "blind"}
    assert features.faults["silent"] == "silent"
    assert features.faults["none"] == "no audio"
    assert features.usable([*faulty, audio_examples[1]]) == [audio_examples[1]]


def test_sample_without_a_picture_gets_a_grey_one(opened, audio_examples, tmp_path):
    bare = dataclasses.replace(audio_examples[0], id="bare", image=None)
    features = Features(opened, tmp_path)
    features.ensure([bare], [])
    assert np.asarray(picture(bare)).std() == 0
    assert bool(torch.isfinite(features.image([bare])).all())


class TestOpenBase:
    def test_digests_are_those_of_the_weights(self, run, opened):
        record = json.loads((run.folder / "base.json").read_text())
        assert opened.digests == record["digests"]

    def test_weights_other_than_prepared_are_refused(self, run, tmp_path):
        other = parse_run_config({**run.model_dump(mode="json"), "results": str(tmp_path)}, "test")
        record = json.loads((run.folder / "base.json").read_text())
        record["digests"]["vlm"] = "0" * 64
        other.folder.mkdir(parents=True)
        (other.folder / "base.json").write_text(json.dumps(record))
        with pytest.raises(ModelError, match=r"digests\.vlm.*the prepared ones 0000"):
            open_base(other)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"vlm": 3, "audio_encoder": "x"}'])
    def test_broken_record_is_named(self, run, tmp_path, content):
        other = parse_run_config({**run.model_dump(mode="json"), "results": str(tmp_path)}, "test")
        with pytest.raises(ModelError, match="prepare-base"):
            open_base(other)
        other.folder.mkdir(parents=True)
        (other.folder / "base.json").write_text(content)
        with pytest.raises(ModelError, match=r"base\.json"):
            open_base(other)
