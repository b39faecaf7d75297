"""Null space: comparison with torch's SVD and closed forms, under AdamW."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import ConfigError, TrainingError
from safe.hearing.training.null_space import NullSpace, basis_of, flat, what_fits


def gradients(rows, weights, seed=0):
    return torch.randn(rows, weights, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_basis_spans_the_leading_singular_vectors(rows, directions, seed):
    found = basis_of(gradients(rows, 40, seed), directions)
    assert len(found) == min(rows, directions)
    assert torch.allclose(found @ found.T, torch.eye(len(found)), atol=1e-4)
    unit = torch.nn.functional.normalize(gradients(rows, 40, seed))
    _, _, expected = torch.linalg.svd(unit, full_matrices=False)
    expected = expected[: len(found)]
    assert torch.allclose(found.T @ found, expected.T @ expected, atol=1e-3)


def test_rows_are_weighted_equally_whatever_their_gradient_norm():
    both = gradients(2, 20)
    one = basis_of(torch.stack([both[0], 1e-6 * both[1]]), 2)
    other = basis_of(both, 2)
    assert torch.allclose(one.T @ one, other.T @ other, atol=1e-4)


def test_noise_directions_are_left_out():
    twice = gradients(3, 20).repeat(2, 1)
    assert len(basis_of(twice, 6)) == 3


def trained(steps, project, weight_decay=0.1):
    """Train two tensors with AdamW; return linear probes over time, and the final distance."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(5))]
    probes, goal = gradients(6, 17, 1), torch.randn(17)
    optimizer = torch.optim.AdamW(weights, lr=0.05, weight_decay=weight_decay)
    space = NullSpace(weights)
    assert space.renew(probes, 6) == 6
    values = [probes @ flat(weights)]
    for _ in range(steps):
        optimizer.zero_grad()
        torch.cat([w.reshape(-1) for w in weights]).sub(goal).pow(2).sum().backward()
        space.before_update()
        optimizer.step()
        if project:
            assert 0 <= space.after_update() <= 1
        values.append(probes @ flat(weights))
    return torch.stack(values), float((flat(weights) - goal).norm())


def test_projection_keeps_the_span_under_adamw_and_the_rest_learns():
    (_, initial), (kept, near), (lost, nearer) = (
        trained(0, project=True),
        trained(60, project=True),
        trained(60, project=False),
    )
    assert torch.allclose(kept, kept[:1].expand_as(kept), atol=1e-3)
    assert float((lost[-1] - lost[0]).abs().max()) > 0.5
    assert nearer < near < 0.9 * initial


def test_update_outside_the_span_is_unchanged():
    weight = torch.nn.Parameter(torch.zeros(3))
    space = NullSpace([weight])
    space.renew(torch.tensor([[1.0, 0.0, 0.0]]), 1)
    space.before_update()
    with torch.no_grad():
        weight.add_(torch.tensor([2.0, 3.0, 4.0]))
    share = space.after_update()
    assert weight.tolist() == [0.0, 3.0, 4.0]
    assert share == pytest.approx(2 / np.sqrt(29))


def test_basis_survives_a_checkpoint():
    weight = torch.nn.Parameter(torch.zeros(3))
    space, other = NullSpace([weight]), NullSpace([weight])
    assert space.state() is None
    space.renew(gradients(2, 3), 2)
    other.resume(space.state())
    assert torch.equal(other.basis, space.basis)


def test_missing_update_or_invalid_gradients_are_refused():
    space = NullSpace([torch.nn.Parameter(torch.zeros(3))])
    with pytest.raises(TrainingError, match="no update to project"):
        space.after_update()
    with pytest.raises(TrainingError, match="gate is OFF"):
        space.renew(torch.zeros(2, 3), 2)
    with pytest.raises(TrainingError, match="not finite"):
        space.renew(torch.tensor([[1.0, float("nan"), 0.0]]), 1)


@given(st.integers(1, 10**9), st.integers(0, 10**12), st.integers(1, 512), st.integers(1, 512))
def test_what_fits_stays_within_its_budget(parameters, budget, rows, directions):
    if budget < 12 * parameters:
        with pytest.raises(ConfigError, match="null-space basis"):
            what_fits(parameters, budget, rows=rows, directions=directions)
        return
    fit = what_fits(parameters, budget, rows=rows, directions=directions)
    assert fit.making_bytes <= budget
    assert 1 <= fit.directions <= fit.rows <= rows
    assert fit.directions <= directions
    assert fit.kept_bytes == 4 * parameters * fit.directions


def test_what_fits_takes_everything_when_there_is_room():
    fit = what_fits(1000, 10**9, rows=64, directions=32)
    assert (fit.rows, fit.directions, fit.making_bytes) == (64, 32, 4 * 1000 * 96)
