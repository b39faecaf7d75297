"""Power: comparison with simulation and scipy, and monotonicity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from safe.gates.power import (
    ENOUGH,
    largest_spread,
    mean_power,
    proportion_power,
    seed_spread_power,
    smallest,
    successes_needed,
)
from safe.gates.statistics import exact, mean_interval, wilson

INTERVALS = {"wilson": wilson, "clopper-pearson": exact}
N = st.integers(1, 400)
SHARES = st.floats(0.01, 0.99)


# Proportions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", ["wilson", "clopper-pearson"])
@settings(deadline=None, max_examples=60)
@given(n=N, bound=SHARES)
def test_successes_needed_agree_with_the_interval_of_the_metric(
    interval: str, n: int, bound: float
) -> None:
    needed = successes_needed(n, bound, "ci_low", interval)  # type: ignore[arg-type]
    interval_of = INTERVALS[interval]
    assert 1 <= needed <= n + 1
    if needed <= n:
        assert interval_of(needed, n).low >= bound - 1e-9
    assert interval_of(needed - 1, n).low < bound + 1e-9


@pytest.mark.parametrize(
    ("n", "bound", "strict", "needed"),
    [(27, 0.9, False, 25), (10, 0.5, False, 5), (10, 0.5, True, 6), (10, 0.0, True, 1),
     (10, 0.0, False, 0), (10, 1.0, False, 10), (10, 1.0, True, 11)],
)  # fmt: skip
def test_successes_needed_for_a_point(n: int, bound: float, strict: bool, needed: int) -> None:
    assert successes_needed(n, bound, "point", strict=strict) == needed


def test_proportion_power_is_the_binomial_tail() -> None:
    needed = successes_needed(200, 0.8, "ci_low")
    found = proportion_power(200, 0.87, ">=", 0.8, "ci_low")
    assert found == pytest.approx(stats.binom.sf(needed - 1, 200, 0.87), rel=1e-9)
    above = proportion_power(500, 0.02, "<=", 0.05, "ci_high")
    most = max(k for k in range(501) if wilson(k, 500).high <= 0.05)
    assert above == pytest.approx(stats.binom.cdf(most, 500, 0.02), rel=1e-9)


@pytest.mark.parametrize("interval", ["wilson", "clopper-pearson"])
def test_proportion_power_agrees_with_simulation(interval: str) -> None:
    rng = np.random.default_rng(0)
    draws = rng.binomial(300, 0.96, 4000)
    interval_of = INTERVALS[interval]
    passing = {int(k): interval_of(int(k), 300).low >= 0.93 for k in np.unique(draws)}
    simulated = np.mean([passing[int(k)] for k in draws])
    found = proportion_power(
        300, 0.96, ">=", 0.93, "ci_low", interval=interval  # type: ignore[arg-type]
    )  # fmt: skip
    assert found == pytest.approx(simulated, abs=0.025)


def test_design_effect_and_run_sd_agree_with_simulation() -> None:
    rng = np.random.default_rng(1)
    needed = successes_needed(600, 0.8, "ci_low")
    runs = 20_000
    # Clusters of 3 questions with identical results: a design effect of 3.
    clustered = 3 * rng.binomial(200, 0.85, runs)
    found = proportion_power(600, 0.85, ">=", 0.8, "ci_low", design=3)
    assert found == pytest.approx(np.mean(clustered >= needed), abs=0.03)
    shares = rng.normal(0.85, 0.02, runs)
    spread = rng.binomial(600, shares)
    found = proportion_power(600, 0.85, ">=", 0.8, "ci_low", run_sd=0.02)
    assert found == pytest.approx(np.mean(spread >= needed), abs=0.02)


def test_proportion_power_is_none_when_no_outcome_can_pass() -> None:
    assert proportion_power(188, 0.0, "<", 0.02, "ci_high") is None
    assert proportion_power(189, 0.0, "<", 0.02, "ci_high") == 1.0
    assert wilson(0, 188).high >= 0.02 > wilson(0, 189).high
    assert proportion_power(100, 1.0, ">=", 1.0, "ci_low") is None


@settings(deadline=None)
@given(n=N, bound=SHARES, one=SHARES, other=SHARES)
def test_better_share_never_has_less_power(n: int, bound: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    worse = proportion_power(n, low, ">=", bound, "ci_low")
    better = proportion_power(n, high, ">=", bound, "ci_low")
    assert (worse is None) == (better is None)
    assert worse is None or better is None or worse <= better + 1e-12


@settings(deadline=None)
@given(n=st.integers(50, 400), bound=st.floats(0.3, 0.8), room=st.floats(0.02, 0.15))
def test_four_times_the_items_have_no_less_power(n: int, bound: float, room: float) -> None:
    few = proportion_power(n, bound + room, ">=", bound, "ci_low") or 0.0
    many = proportion_power(4 * n, bound + room, ">=", bound, "ci_low") or 0.0
    assert many >= few - 1e-6


# Means -------------------------------------------------------------------------------------------


def test_mean_power_is_the_normal_tail() -> None:
    error = 0.5 / math.sqrt(400)
    found = mean_power(400, 0.1, ">=", 0.03, "ci_low", item_sd=0.5)
    z = stats.norm.ppf(0.975)
    assert found == pytest.approx(stats.norm.cdf(0.07 / error - z), rel=1e-9)
    both = mean_power(400, 0.0, "<=", 0.1, "ci_high", item_sd=0.5, run_sd=0.02, design=2)
    wide = 0.5 * math.sqrt(2 / 400)
    wanted = stats.norm.cdf((0.1 - z * wide) / math.hypot(wide, 0.02))
    assert both == pytest.approx(wanted, rel=1e-9)


def test_mean_power_agrees_with_the_bootstrap_of_simulated_items() -> None:
    rng = np.random.default_rng(2)
    runs = 300
    passed = sum(
        mean_interval(rng.normal(0.08, 0.4, 120), seed=i, resamples=600).low >= 0.0
        for i in range(runs)
    )
    found = mean_power(120, 0.08, ">=", 0.0, "ci_low", item_sd=0.4)
    assert passed / runs == pytest.approx(found, abs=0.1)


@settings(deadline=None)
@given(
    n=st.integers(2, 1000), more=st.integers(0, 1000), sd=st.floats(0.01, 2),
    near=st.floats(0, 1), further=st.floats(0, 1), decide_on=st.sampled_from(["ci_low", "point"]),
)  # fmt: skip
def test_mean_power_grows_with_items_and_distance(
    n: int, more: int, sd: float, near: float, further: float, decide_on: str
) -> None:
    def power(n: int, distance: float) -> float:
        return mean_power(n, distance, ">=", 0.0, decide_on, item_sd=sd)  # type: ignore[arg-type]

    assert power(n, near) <= power(n + more, near) + 1e-12
    assert power(n, near) <= power(n, near + further) + 1e-12


def test_value_without_variance_passes_or_fails_with_certainty() -> None:
    assert mean_power(1, 0.0, "<=", 0.0, "point") == 1.0
    assert mean_power(1, 0.0, "<", 0.0, "point") == 0.0
    assert mean_power(1, 1.0, "between", (1.0, 2.0), "point") == 1.0
    assert mean_power(1, 0.9, "between", (1.0, 2.0), "point") == 0.0
    assert mean_power(1, 1.0, "==", 1.0, "exact") == 1.0


def test_between_uses_both_ends() -> None:
    found = mean_power(1, 1.0, "between", (0.8, 1.2), "point", run_sd=0.1)
    assert found == pytest.approx(stats.norm.cdf(2) - stats.norm.cdf(-2))


# Standard deviation over seeds -------------------------------------------------------------------


def test_power_for_three_seeds_has_the_closed_form() -> None:
    """P(s <= b) = 1 - exp(-(b / sigma)^2) for three values."""
    found = seed_spread_power(3, 1841, 0.005, item_sd=0.103, run_sd=0.0045)
    sigma = math.hypot(0.0045, 0.103 / math.sqrt(1841))
    assert found == pytest.approx(1 - math.exp(-((0.005 / sigma) ** 2)), rel=1e-9)
    assert found == pytest.approx(0.62, abs=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_seed_sd_power_agrees_with_scipy_and_simulation(seeds: int) -> None:
    found = seed_spread_power(seeds, 500, 0.02, item_sd=0.3, run_sd=0.01, design=1.5)
    sigma = math.sqrt(0.01**2 + 0.3**2 * 1.5 / 500)
    wanted = stats.chi2.cdf((seeds - 1) * 0.02**2 / sigma**2, seeds - 1)
    assert found == pytest.approx(wanted, rel=1e-9)
    draws = np.random.default_rng(seeds).normal(0, sigma, (20_000, seeds))
    assert found == pytest.approx(np.mean(draws.std(axis=1, ddof=1) <= 0.02), abs=0.012)


@settings(deadline=None)
@given(
    st.integers(2, 30), st.integers(10, 5000), st.integers(0, 5000),
    st.floats(0.001, 0.05), st.floats(0, 0.05), st.floats(0, 0.5),
)  # fmt: skip
def test_seed_sd_power_grows_with_items(
    seeds: int, items: int, more: int, bound: float, run_sd: float, item_sd: float
) -> None:
    few = seed_spread_power(seeds, items, bound, item_sd=item_sd, run_sd=run_sd)
    many = seed_spread_power(seeds, items + more, bound, item_sd=item_sd, run_sd=run_sd)
    assert 0 <= few <= many + 1e-12 <= 1 + 1e-9


@settings(deadline=None)
@given(st.integers(2, 40), st.floats(1e-4, 1))
def test_largest_spread_has_exactly_enough_power(seeds: int, bound: float) -> None:
    sigma = largest_spread(seeds, bound)
    assert seed_spread_power(seeds, 1, bound, run_sd=sigma) == pytest.approx(ENOUGH, rel=1e-6)


def test_identical_seeds_pass_with_certainty() -> None:
    assert seed_spread_power(3, 100, 0.005) == 1.0


# Sample sizes ------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_smallest_sufficient_number_is_found(at: int, start: int) -> None:
    assert smallest(lambda n: float(n >= at), start, 10**7) == max(at, start)


def test_no_sufficient_number_is_none() -> None:
    assert smallest(lambda n: 0.98, 1, 10**6) is None
    assert smallest(lambda n: None, 1, 10**6) is None


def test_items_needed_reach_the_power_and_fewer_do_not() -> None:
    def power(n: int) -> float | None:
        return proportion_power(n, 0.97, ">=", 0.95, "ci_low")

    needed = smallest(power, 1, 10**7)
    assert needed is not None
    assert (power(needed) or 0) >= ENOUGH
    assert (power(round(0.97 * needed)) or 0) < ENOUGH
