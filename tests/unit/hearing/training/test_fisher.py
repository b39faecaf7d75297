"""The Fisher penalty: comparison with its closed form."""

import pytest
import torch

from safe.errors import TrainingError
from safe.hearing.training.fisher import FisherPenalty


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(2, 3)), torch.nn.Parameter(torch.randn(4))]


def move(weights, by):
    with torch.no_grad():
        for weight in weights:
            weight.add_(by)


def test_penalty_is_half_the_weighted_squared_distance(weights):
    gradients = torch.randn(5, 10)
    penalty = FisherPenalty(weights)
    penalty.anchor(gradients)
    assert float(penalty()) == 0
    move(weights, 0.3)
    information = gradients.pow(2).mean(0)
    information = information / information.mean()
    assert float(penalty()) == pytest.approx(float((information * 0.09).sum() / 2 / 10), rel=1e-5)
    found = torch.cat([g.reshape(-1) for g in torch.autograd.grad(penalty(), weights)])
    assert torch.allclose(found, information * 0.3 / 10, atol=1e-6)


def test_weights_without_gradient_are_not_penalised(weights):
    gradients = torch.zeros(3, 10)
    gradients[:, 0] = 1.0
    penalty = FisherPenalty(weights)
    penalty.anchor(gradients)
    with torch.no_grad():
        weights[1].add_(5.0)
    assert float(penalty()) == 0


def test_scale_of_the_gradients_does_not_matter(weights):
    gradients, found = torch.randn(5, 10), []
    for scale in (1.0, 100.0):
        penalty = FisherPenalty(weights)
        penalty.anchor(scale * gradients)
        move(weights, 0.1)
        found.append(float(penalty()))
        move(weights, -0.1)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_anchor_survives_a_checkpoint(weights):
    penalty, other = FisherPenalty(weights), FisherPenalty(weights)
    penalty.anchor(torch.randn(5, 10))
    move(weights, 0.2)
    other.resume(penalty.state())
    assert torch.equal(other(), penalty())


@pytest.mark.parametrize("gradients", [torch.zeros(2, 10), torch.full((2, 10), float("nan"))])
def test_without_information_there_is_no_penalty(weights, gradients):
    penalty = FisherPenalty(weights)
    with pytest.raises(TrainingError, match="no anchor"):
        penalty()
    with pytest.raises(TrainingError, match="mean Fisher information"):
        penalty.anchor(gradients)
