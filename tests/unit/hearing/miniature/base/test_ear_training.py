"""Contrastive loss with several true captions; spectrograms equal to CLAP's."""

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ClapFeatureExtractor

from safe.hearing.miniature.base.audio_encoder import contrastive_loss, matches, probe_loss
from safe.hearing.miniature.base.mel import BatchMel, jitter_spectrograms


def test_open_facets_of_a_caption_match_every_sound():
    facts = torch.tensor([[3, 0], [3, 1], [5, 1]])
    claims = torch.tensor([[3, -1], [-1, 1], [5, 1], [-1, -1]])
    expected = [[1, 0, 0, 1], [1, 1, 0, 1], [0, 1, 1, 1]]
    assert matches(facts, claims).int().tolist() == expected


def test_loss_with_one_positive_is_that_of_clip():
    similarity = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    diagonal = torch.arange(6)
    clip = (F.cross_entropy(similarity, diagonal) + F.cross_entropy(similarity.T, diagonal)) / 2
    torch.testing.assert_close(contrastive_loss(similarity, torch.eye(6).bool()), clip)


def test_equal_captions_are_no_false_negatives():
    true = torch.tensor([[True, True], [True, True]])
    torch.testing.assert_close(
        contrastive_loss(torch.zeros(2, 2), true), torch.tensor(2.0).log(), atol=1e-6, rtol=0
    )


def test_probes_accept_classes_and_sets():
    heads = torch.nn.ModuleDict({"one": torch.nn.Linear(4, 3), "several": torch.nn.Linear(4, 2)})
    for head in heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    truth = {"one": torch.tensor([0, 2]), "several": torch.tensor([[0, 1], [1, 1]])}
    expected = torch.tensor(3.0).log() + torch.tensor(2.0).log()
    torch.testing.assert_close(probe_loss(heads, torch.randn(2, 4), truth), expected)


def test_spectrograms_agree_with_the_feature_extractor():
    extractor = ClapFeatureExtractor(
        feature_size=32,
        sampling_rate=8000,
        hop_length=64,
        fft_window_size=256,
        max_length_s=1,
        frequency_min=50,
        frequency_max=4000,
        truncation="rand_trunc",
        padding="pad",
    )
    waves = np.random.default_rng(0).normal(0, 0.1, (3, 8000)).astype(np.float32)
    waves[1, 4000:] = 0
    expected = extractor(list(waves), sampling_rate=8000, return_tensors="pt")["input_features"]
    found = BatchMel(extractor)(torch.from_numpy(waves))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_jitter_keeps_the_shape_and_is_reproducible():
    decibels = torch.randn(4, 1, 20, 8)

    def jittered(seed: int) -> torch.Tensor:
        return jitter_spectrograms(decibels, torch.Generator().manual_seed(seed))

    assert jittered(1).shape == decibels.shape
    assert torch.equal(jittered(1), jittered(1))
    still = jitter_spectrograms(decibels, torch.Generator(), gain=0, shift=0, noise=0)
    assert torch.equal(still, decibels)
