"""The training loop minimises, visits every sample, is reproducible, and stops at a NaN loss."""

from itertools import islice

import pytest
import torch
from torch import nn

from safe.errors import ModelError
from safe.hearing.miniature.base.loop import Schedule, fit, index_batches


def test_every_sample_occurs_once_per_epoch():
    batches = islice(index_batches(10, 5, torch.Generator().manual_seed(0)), 4)
    seen = torch.cat(list(batches))
    for epoch in seen.split(10):
        assert sorted(epoch.tolist()) == list(range(10))


def regression(seed: int) -> tuple[float, torch.Tensor]:
    torch.manual_seed(0)
    model, inputs = nn.Linear(3, 1), torch.randn(64, 3)
    target = inputs @ torch.tensor([[1.0], [2.0], [-1.0]])

    def loss_of(index: torch.Tensor) -> torch.Tensor:
        return (model(inputs[index]) - target[index]).square().mean()

    schedule = Schedule(steps=200, batch_size=16, lr=0.1, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    loss = fit(model.parameters(), loss_of, 64, schedule, generator=generator, title="t")
    return loss, model.weight.detach().clone()


def test_fit_finds_the_least_squares_solution():
    loss, weight = regression(1)
    assert loss < 1e-4
    torch.testing.assert_close(weight, torch.tensor([[1.0, 2.0, -1.0]]), atol=1e-2, rtol=0)


def test_same_seed_gives_the_same_result():
    assert torch.equal(regression(1)[1], regression(1)[1])
    assert not torch.equal(regression(1)[1], regression(2)[1])


def test_nan_loss_stops_the_stage():
    weight = nn.Parameter(torch.ones(1))

    def loss_of(index: torch.Tensor) -> torch.Tensor:
        return (weight * float("nan")).sum()

    with pytest.raises(ModelError, match="vision: the loss is nan at step 0"):
        fit(
            [weight],
            loss_of,
            4,
            Schedule(steps=3, batch_size=2, lr=0.1),
            generator=torch.Generator(),
            title="vision",
        )


def test_empty_training_set_is_refused():
    with pytest.raises(ModelError, match="nothing to train on"):
        next(index_batches(0, 4, torch.Generator()))
