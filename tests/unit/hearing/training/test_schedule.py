"""Warm-up and cosine schedule, and cross-entropy: comparison with PyTorch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR

from safe.hearing.training.losses import answer_cross_entropy
from safe.hearing.training.schedule import warmup_cosine


@given(st.integers(1, 500), st.floats(0, 0.5))
def test_schedule_rises_to_one_and_falls_without_reaching_zero(steps, warmup):
    values = [warmup_cosine(s, steps, warmup) for s in range(steps)]
    peak = round(warmup * steps)
    assert all(0 < v <= 1 for v in values)
    assert values[:peak] == sorted(values[:peak])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    if peak < steps:
        assert values[peak] == 1


def test_schedule_without_warm_up_agrees_with_pytorch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = CosineAnnealingLR(optimizer, T_max=40)
    for step in range(40):
        assert warmup_cosine(step, 40, 0) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()


def test_cross_entropy_is_averaged_over_tokens():
    torch.manual_seed(0)
    logits, ids = torch.randn(3, 4, 7), torch.randint(7, (3, 4))
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    chosen = logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids.masked_fill(mask == 0, -100).flatten()
    )
    torch.testing.assert_close(answer_cross_entropy(chosen, mask), expected)
