"""The audio encoder returns CLAP's embeddings, is deterministic, and refuses invalid audio."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from safe.errors import ModelError
from safe.hearing.models.audio_encoder import load_audio_encoder
from tests.tiny_models import RATE, save_tiny, tiny_tone


@pytest.fixture(scope="module")
def audio_encoder(tmp_path_factory):
    return load_audio_encoder(save_tiny(tmp_path_factory.mktemp("models"))[1])


def test_embeddings_agree_with_clap(audio_encoder):
    waves = [tiny_tone(440), tiny_tone(900, 0.8)]
    batch = audio_encoder.feature_extractor(waves, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = audio_encoder.model.get_audio_features(**batch).pooler_output
    found = audio_encoder.embed(waves)
    assert found.shape == (2, audio_encoder.embedding_dim)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_mean_of_the_sequence_is_the_pooled_output(audio_encoder):
    waves = [tiny_tone(440)]
    sequence = audio_encoder.sequence(waves)
    assert sequence.shape[0] == 1
    assert sequence.shape[2] == audio_encoder.sequence_dim
    with torch.no_grad():
        pooled = audio_encoder.model.audio_model(
            input_features=audio_encoder.features(waves)
        ).pooler_output
    torch.testing.assert_close(sequence.mean(1), pooled)


def test_long_sound_has_one_reproducible_embedding(audio_encoder):
    long = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert torch.equal(audio_encoder.embed([long]), audio_encoder.embed([long]))
    assert torch.equal(audio_encoder.embed([long]), audio_encoder.embed([long[:RATE]]))


def test_audio_encoder_is_frozen(audio_encoder):
    assert not audio_encoder.model.training
    assert not any(p.requires_grad for p in audio_encoder.model.parameters())


@pytest.mark.parametrize(
    "wave",
    [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf, 0.0])],
    ids=["empty", "stereo", "nan", "infinite"],
)
def test_invalid_waveform_is_refused(audio_encoder, wave):
    with pytest.raises(ModelError, match="waveform 1 of the batch"):
        audio_encoder.embed([tiny_tone(440), wave])


def test_texts_are_embedded_in_the_same_space(audio_encoder):
    found = audio_encoder.embed_text(["a bell", "the sound of rain"])
    assert found.shape == (2, audio_encoder.embedding_dim)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_vision_model_is_refused_as_audio_encoder(tmp_path):
    with pytest.raises(ModelError, match=r"'blip-2' model, not a CLAP model"):
        load_audio_encoder(save_tiny(tmp_path)[0])


@pytest.mark.parametrize(
    ("field", "value"), [("truncation", "fusion"), ("feature_size", 32), ("max_length_s", 3600)]
)
def test_extractor_of_another_model_is_refused_when_opened(tmp_path, field, value):
    folder = save_tiny(tmp_path)[1]
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text())
    config[field] = value
    if field == "max_length_s":
        config["nb_max_samples"] = value * config["sampling_rate"]
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        load_audio_encoder(folder)
    assert caught.value.key == field
