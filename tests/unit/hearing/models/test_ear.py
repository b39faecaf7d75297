"""The ear gives CLAP's own embeddings, the same for the same sound, or refuses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from safe.errors import ModelError
from safe.hearing.models.ear import load_ear
from tests.tiny_models import RATE, save_tiny, tiny_tone


@pytest.fixture(scope="module")
def ear(tmp_path_factory):
    return load_ear(save_tiny(tmp_path_factory.mktemp("models"))[1])


def test_embeddings_are_claps_own(ear):
    waves = [tiny_tone(440), tiny_tone(900, 0.8)]
    batch = ear.feature_extractor(waves, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = ear.model.get_audio_features(**batch).pooler_output
    found = ear.embed(waves)
    assert found.shape == (2, ear.embedding_dim)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_the_sequence_averages_to_the_pooled_output(ear):
    waves = [tiny_tone(440)]
    sequence = ear.sequence(waves)
    assert sequence.shape[0] == 1
    assert sequence.shape[2] == ear.sequence_dim
    with torch.no_grad():
        pooled = ear.model.audio_model(input_features=ear.features(waves)).pooler_output
    torch.testing.assert_close(sequence.mean(1), pooled)


def test_a_long_sound_has_one_embedding(ear):
    long = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert torch.equal(ear.embed([long]), ear.embed([long]))
    assert torch.equal(ear.embed([long]), ear.embed([long[:RATE]]))


def test_nothing_in_it_is_trainable(ear):
    assert not ear.model.training
    assert not any(p.requires_grad for p in ear.model.parameters())


@pytest.mark.parametrize(
    "wave",
    [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf, 0.0])],
    ids=["empty", "stereo", "nan", "infinite"],
)
def test_what_cannot_be_heard_is_refused(ear, wave):
    with pytest.raises(ModelError, match="waveform 1 of the batch"):
        ear.embed([tiny_tone(440), wave])


def test_texts_are_embedded_beside_sounds(ear):
    found = ear.embed_text(["a bell", "the sound of rain"])
    assert found.shape == (2, ear.embedding_dim)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_a_vision_model_is_no_ear(tmp_path):
    with pytest.raises(ModelError, match=r"'blip-2' model, not a CLAP model"):
        load_ear(save_tiny(tmp_path)[0])
