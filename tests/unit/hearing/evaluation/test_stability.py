"""Spikes, divergence and non-finite values in a training curve."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.evaluation.stability import judge_curve, rising_share


def curve(seed: int = 0, steps: int = 300) -> list[float]:
    """A falling loss with ten per cent noise."""
    rng = np.random.default_rng(seed)
    return (np.exp(-np.arange(steps) / 100) * np.exp(0.1 * rng.standard_normal(steps))).tolist()


@given(st.integers(0, 1000))
def test_falling_curve_is_stable(seed):
    assert judge_curve(curve(seed), mads=12).total == 0


@given(st.integers(0, 100), st.integers(30, 290))
def test_spike_is_found_at_its_step(seed, where):
    values = curve(seed)
    values[where] *= 20
    assert judge_curve(values, mads=12).spikes == (where,)


def test_curve_that_ends_above_its_start_has_diverged():
    found = judge_curve(curve()[::-1], mads=12)
    assert found.diverged
    assert found.total >= 1


def test_non_finite_values_are_counted():
    values = curve()
    values[5], values[70] = math.nan, math.inf
    assert judge_curve(values, mads=12).not_finite == (5, 70)


@given(st.floats(1e-3, 1e3))
def test_scale_does_not_matter(scale):
    values = curve()
    values[100] *= 20
    assert judge_curve([v * scale for v in values], mads=12) == judge_curve(values, mads=12)


def test_constant_curve_has_no_spikes():
    assert judge_curve([0.5] * 100, mads=12).total == 0


def test_rising_share_of_monotone_and_constant_curves():
    assert rising_share([5.0 - 0.01 * i for i in range(100)]) == 0
    assert rising_share([1.0] * 50) == 0
    assert rising_share([0.01 * i for i in range(100)]) == pytest.approx(1)


def test_rising_share_is_small_for_noise_and_large_for_oscillation():
    assert rising_share(curve()) < 0.1
    swinging = [2 + math.sin(i / 8) for i in range(240)]
    assert rising_share(swinging) > 0.4


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=60))
def test_rising_share_of_the_reversed_curve_is_the_complement(values):
    up, down = rising_share(values), rising_share(values[::-1])
    assert 0 <= up <= 1
    count = min(12, len(values))
    if len(values) % count == 0 and up + down:  # blocks of equal length are the same in reverse
        assert up + down == pytest.approx(1, abs=1e-6)


def test_single_value_is_refused():
    with pytest.raises(ValueError, match="at least two values"):
        rising_share([1.0])
