"""Projectors: shapes, calibrated norm, and invalid configs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ModelError
from safe.hearing.config import AdapterConfig
from safe.hearing.models.projector import build_projector, calibrate_projector, embedding_norm


def fresh(kind, audio_tokens=4, width=24, hidden=16):
    config = AdapterConfig(projector=kind, audio_tokens=audio_tokens, hidden=hidden)
    return build_projector(config, embedding_width=12, sequence_width=20, width=width)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["mlp", "resampler"]),
    tokens=st.integers(1, 12),
    scale=st.floats(0.01, 30),
    padded=st.booleans(),
)
def test_new_projector_starts_at_the_norm_of_the_embeddings(kind, tokens, scale, padded):
    torch.manual_seed(0)
    table = torch.nn.Embedding(50, 24, padding_idx=1 if padded else None)
    table.weight.data.mul_(scale)
    projector = fresh(kind, tokens)
    target = calibrate_projector(projector, table, seed=0)
    kept = [i for i in range(50) if not (padded and i == 1)]
    assert target == pytest.approx(float(table.weight[kept].detach().norm(dim=-1).mean()), rel=1e-5)
    features = torch.randn(64, 12) if kind == "mlp" else torch.randn(64, 16, 20)
    tokens_out = projector(features)
    assert tokens_out.shape == (64, tokens, 24)
    assert float(tokens_out.detach().norm(dim=-1).mean()) == pytest.approx(target, rel=0.2)


@pytest.mark.parametrize("kind", ["mlp", "resampler"])
def test_output_scale_is_saved_but_not_trained(kind):
    projector = fresh(kind)
    assert "output_scale" in projector.state_dict()
    assert "output_scale" not in dict(projector.named_parameters())


def test_resampler_ignores_the_order_of_the_sequence():
    """Attention without positions: reordered features give the same tokens."""
    projector, features = fresh("resampler"), torch.randn(2, 9, 20)
    torch.testing.assert_close(projector(features), projector(features.flip(1)))


def test_parameter_count_of_the_mlp_agrees_with_its_formula():
    count = sum(p.numel() for p in fresh("mlp", 8, 24, 16).parameters())
    assert count == 2 * 12 + (12 * 16 + 16) + (16 * 8 * 24 + 8 * 24)


def test_hidden_width_not_divisible_by_the_heads_is_refused():
    with pytest.raises(ModelError, match="multiple of 4"):
        fresh("resampler", hidden=18)


def test_embedding_norm_ignores_zero_rows():
    table = torch.nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]]))
    assert embedding_norm(table) == 3.0  # an all-zero row is no token
