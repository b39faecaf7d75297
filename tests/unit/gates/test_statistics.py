"""Intervals: comparison with scipy, statsmodels and closed forms, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from safe.gates.schema import Interval
from safe.gates.statistics import (
    auroc,
    auroc_interval,
    cluster_bootstrap,
    exact,
    exact_equality,
    mcnemar_exact,
    mean_interval,
    paired_difference,
    quantile_interval,
    rank_correlation,
    ratio_bootstrap,
    sd_interval,
    wilson,
)
from safe.gates.statistics.paired import tango

FAST = 500  # resamples for tests that need no precision


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Proportions -------------------------------------------------------------------------------------


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_proportion_intervals_enclose_the_point_with_positive_width(pair: tuple[int, int]) -> None:
    successes, n = pair
    for found in (wilson(successes, n), exact(successes, n)):
        assert 0 <= found.low <= successes / n + 1e-12
        assert successes / n - 1e-12 <= found.high <= 1
        assert found.high - found.low > 0


def test_wilson_agrees_with_its_closed_form() -> None:
    k, n, z = 463, 500, stats.norm.ppf(0.975)
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_exact_agrees_with_beta_quantiles() -> None:
    found = exact(7, 20)
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 7, 14))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 8, 13))
    assert (found.low, found.high) == pytest.approx(proportion_confint(7, 20, method="beta"))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5)])
def test_invalid_proportion_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(successes, n)


# Equality ----------------------------------------------------------------------------------------


def test_equal_outputs_have_a_difference_of_exactly_zero() -> None:
    found = exact_equality(["yes", "no"], ["yes", "no"])
    assert (found.low, found.high, found.method) == (0, 0, "exact equality")
    logits = [np.array([0.1, np.nan]), np.array([1.0])]
    assert exact_equality(logits, [a.copy() for a in logits]).high == 0


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([], []),
        ([1], [1, 2]),
        ([0.1], [0.1 + 1e-17 + 1e-16]),
        ([np.zeros(1)], [-np.zeros(1)]),
        ([np.zeros(1)], [np.zeros(1, dtype=np.float32)]),
        ([1], [1.0]),
    ],
)
def test_outputs_not_bit_equal_are_refused(left: list[object], right: list[object]) -> None:
    with pytest.raises(ValueError, match=r"pairs|not bitwise equal"):
        exact_equality(left, right)


# Bootstrap ---------------------------------------------------------------------------------------


def test_mean_agrees_with_scipys_bootstrap_and_the_normal_interval() -> None:
    values = rng().normal(3, 2, 400)
    found = mean_interval(values, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=10_000, rng=rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.03
    )


def test_same_seed_gives_the_same_interval() -> None:
    values = rng().random(50)
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_pairing_removes_the_shared_variance() -> None:
    shared = rng().normal(0, 5, 300)
    a, b = shared + rng(1).normal(0.5, 0.3, 300), shared
    found = paired_difference(a, b, seed=0, resamples=2000)
    assert 0.4 < found.low < 0.5 < found.high < 0.6
    assert "paired" in found.method


def test_clusters_widen_the_interval_by_the_design_effect() -> None:
    clip = np.repeat(rng().normal(0, 1, 60), 20)
    values, labels = clip + rng(1).normal(0, 0.1, 1200), np.repeat(np.arange(60), 20)
    apart = mean_interval(values, seed=0, resamples=2000)
    together = cluster_bootstrap(values, labels, seed=0, resamples=2000)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(20), rel=0.15)


def test_clusters_of_one_item_change_nothing() -> None:
    values = rng().random(40)
    alone = cluster_bootstrap(values, range(40), seed=0, resamples=FAST)
    plain = mean_interval(values, seed=0, resamples=FAST)
    assert alone.high - alone.low == pytest.approx(plain.high - plain.low, rel=0.15)


def test_ratio_agrees_with_the_delta_method() -> None:
    x, y = rng().gamma(9, 1, 800), rng(1).gamma(16, 1, 800)
    found = ratio_bootstrap(x, y, seed=0)
    point = x.sum() / y.sum()
    half = 1.96 * (x - point * y).std(ddof=1) / y.mean() / math.sqrt(800)
    assert (found.low, found.high) == pytest.approx((point - half, point + half), abs=0.005)


def test_many_units_use_the_percentile_method() -> None:
    values = rng().normal(size=5000)
    found = mean_interval(values, seed=0, resamples=FAST)
    assert "percentile" in found.method
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(5000), rel=0.2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_interval([], seed=0),
        lambda: mean_interval([0.1] * 7, seed=0),
        lambda: mean_interval([0.3] * 100, seed=0),
        lambda: mean_interval([1, math.nan], seed=0),
        lambda: mean_interval([[1.0, 2.0]], seed=0),
        lambda: cluster_bootstrap([1, 2, 3], ["a", "b"], seed=0),
        lambda: cluster_bootstrap(range(100), [0, 1] * 50, seed=0),
        lambda: paired_difference([1.0], [1.0, 2.0], seed=0),
        lambda: paired_difference([0.5] * 50, [0.25] * 50, seed=0),
        lambda: paired_difference([1.0, 0.0], [1.0, 1.0], seed=0, identical_outputs=True),
        lambda: ratio_bootstrap([1.0] * 9, [0.0] * 9, seed=0),
        lambda: ratio_bootstrap(range(1, 20), range(1, 20), seed=0),
        lambda: auroc_interval([1.0] * 7, [0.0] * 20, seed=0),
        lambda: auroc_interval([1.0] * 20, [1.0] * 20, seed=0),
        lambda: rank_correlation([1, 2, 3], [1, 2, 3]),
        lambda: rank_correlation(range(20), [1] * 20),
        lambda: quantile_interval([1, 2, 3], 0.5),
        lambda: quantile_interval(range(20), 0.99),
        lambda: sd_interval([1.0, 2.0]),
        lambda: sd_interval([1.0, 1.0, 1.0]),
        lambda: mcnemar_exact([1, 2], [0, 1]),
        lambda: mcnemar_exact([1], [0, 1]),
    ],
)
def test_degenerate_input_is_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call()  # type: ignore[operator]


def test_all_correct_answers_use_the_exact_interval() -> None:
    found = mean_interval([1.0] * 100, seed=0)
    assert (found.low, found.high) == (exact(100, 100).low, 1)
    by_clip = mean_interval([1.0] * 100, seed=0, clusters=[i // 10 for i in range(100)])
    assert by_clip.low == exact(10, 10).low


def test_equal_scores_have_zero_width_only_with_identical_outputs() -> None:
    right = [1.0, 0.0] * 25
    uncertain = paired_difference(right, right, seed=0)
    assert uncertain.low < 0 < uncertain.high
    certain = paired_difference(right, right, seed=0, identical_outputs=True)
    assert (certain.low, certain.high) == (0, 0)


@pytest.mark.parametrize("clusters", [None, [n // 4 for n in range(200)]])
def test_equal_soft_scores_have_an_interval_on_both_sides(clusters: list[int] | None) -> None:
    soft = [0.0, 0.3, 0.6, 0.9, 1.0] * 40
    found = paired_difference(soft, soft, seed=0, clusters=clusters)
    units = 200 if clusters is None else 50
    # Tango's interval without discordant pairs: +- z^2 / (n + z^2).
    z = stats.norm.ppf(0.975)
    assert found.high == pytest.approx(z**2 / (units + z**2), rel=1e-6)
    assert found.low == pytest.approx(-found.high, rel=1e-6)
    with pytest.raises(ValueError, match="no variation"):  # CIDEr, for example, exceeds 1
        paired_difference([1.7] * 50, [1.7] * 50, seed=0)
    with pytest.raises(ValueError, match="no variation"):
        paired_difference([2.5] * 50, [1.5] * 50, seed=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=8, max_size=40), st.integers(0, 9))
def test_bootstrap_interval_lies_within_the_data_or_is_refused(
    values: list[float], seed: int
) -> None:
    try:
        found = mean_interval(values, seed=seed, resamples=FAST)
    except ValueError:
        return
    if not found.method.startswith("clopper"):
        assert min(values) - 1e-9 <= found.low < found.high <= max(values) + 1e-9


# Paired answers ----------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 100))
def test_mcnemar_agrees_with_the_binomial_test_of_discordant_pairs(
    wins: int, losses: int, equal: int
) -> None:
    if wins + losses + equal == 0:
        return
    a = [1] * wins + [0] * losses + [1] * equal
    b = [0] * wins + [1] * losses + [1] * equal
    found = mcnemar_exact(a, b)
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert found.p_value == pytest.approx(p)
    assert found.interval.low <= found.difference <= found.interval.high
    assert found.interval.high - found.interval.low > 0


def test_tango_agrees_with_the_closed_form_for_no_discordant_pairs() -> None:
    # Tango (1998): for b = c = 0 the interval has the closed form z^2 / (n + z^2).
    z2 = stats.norm.ppf(0.975) ** 2
    found = tango(0, 0, 44, 0.95)
    assert (found.low, found.high) == pytest.approx((-z2 / (44 + z2), z2 / (44 + z2)), abs=1e-6)


def test_tango_solves_its_score_equation() -> None:
    wins, losses, n = 9, 3, 60
    found = tango(wins, losses, n, 0.95)

    def likelihood(delta: float) -> float:
        """Restricted maximum of q21, found by grid search instead of the tested formula."""
        grid = np.linspace(max(0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 200_001)
        rest = np.maximum(1 - delta - 2 * grid, 1e-300)
        value = (
            wins * np.log(grid + delta + 1e-300)
            + losses * np.log(grid)
            + (n - wins - losses) * np.log(rest)
        )
        return float(grid[np.nanargmax(value)])

    for bound in (found.low, found.high):
        q = likelihood(bound)
        score = (wins - losses - n * bound) / math.sqrt(n * (2 * q + bound * (1 - bound)))
        assert abs(score) == pytest.approx(1.96, abs=0.01)


# Ranks, quantiles, standard deviations -----------------------------------------------------------


def test_auroc_agrees_with_sklearn() -> None:
    high, low = rng().normal(1, 1, 80).round(1), rng(1).normal(0, 1, 120).round(1)
    labels, scores = [1] * 80 + [0] * 120, np.concatenate([high, low])
    point = auroc(high, low)
    assert point == pytest.approx(roc_auc_score(labels, scores))
    found = auroc_interval(high, low, seed=0)
    assert found.low < point < found.high


def test_auroc_interval_agrees_with_hanley_and_mcneil() -> None:
    high, low = rng(3).normal(1, 1, 200), rng(4).normal(0, 1, 200)
    a = auroc(high, low)
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + 199 * (q1 - a * a) + 199 * (q2 - a * a)) / 200**2
    found = auroc_interval(high, low, seed=0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.15)


def test_perfect_separation_uses_the_exact_interval() -> None:
    found = auroc_interval(range(10, 60), range(10), seed=0)
    assert (found.low, found.high) == (exact(10, 10).low, 1)
    assert auroc_interval(range(10), range(10, 60), seed=0).high == exact(0, 10).high


def test_rank_correlation_agrees_with_scipy() -> None:
    x = rng().normal(size=60)
    y = x + rng(1).normal(size=60)
    rho, found = rank_correlation(x, y)
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < rho < found.high
    boot = stats.bootstrap(
        (x, y),
        lambda a, b: stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=500,
        rng=rng(2),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((boot.low, boot.high), abs=0.12)


def test_perfect_rank_correlation_has_an_interval_of_positive_width() -> None:
    rho, found = rank_correlation(range(50), [-i for i in range(50)])
    assert rho == pytest.approx(-1)
    assert found.low == pytest.approx(-1)
    assert -1 < found.high < -0.99


def test_quantile_interval_agrees_with_tabulated_order_statistics() -> None:
    # n = 20: the 95 % interval of the median runs from the 6th to the 15th value.
    found = quantile_interval(range(1, 21), 0.5)
    assert (found.low, found.high) == (6, 15)


def test_sd_interval_agrees_with_chi_squared_quantiles() -> None:
    values = [0.91, 0.93, 0.92]
    found = sd_interval(values)
    s2 = np.var(values, ddof=1)
    assert found.low == pytest.approx(math.sqrt(2 * s2 / stats.chi2.ppf(0.975, 2)))
    assert found.high == pytest.approx(math.sqrt(2 * s2 / stats.chi2.ppf(0.025, 2)))


# Coverage ----------------------------------------------------------------------------------------


def covered(found: Interval, truth: float) -> bool:
    return found.low <= truth <= found.high


def test_coverage_by_simulation() -> None:
    """Each interval contains the true value in about 95 of 100 repetitions (400 here: ± 3 %)."""
    trials, hits = 400, dict.fromkeys(["wilson", "exact", "tango", "quantile", "rank", "sd"], 0)
    generator = rng(11)
    true_rank = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's, binormal pair with r = 0.6
    for _ in range(trials):
        k = int(generator.binomial(150, 0.93))
        hits["wilson"] += covered(wilson(k, 150), 0.93)
        hits["exact"] += covered(exact(k, 150), 0.93)
        wins, losses, _rest = generator.multinomial(120, [0.08, 0.05, 0.87])
        hits["tango"] += covered(tango(int(wins), int(losses), 120, 0.95), 0.03)
        hits["quantile"] += covered(
            quantile_interval(generator.exponential(size=80), 0.5), math.log(2)
        )
        x = generator.normal(size=60)
        y = 0.6 * x + 0.8 * generator.normal(size=60)
        hits["rank"] += covered(rank_correlation(x, y)[1], true_rank)
        hits["sd"] += covered(sd_interval(generator.normal(0, 2, 10)), 2)
    for name, count in hits.items():
        assert 0.92 <= count / trials <= 0.995, f"{name}: {count / trials}"


def test_coverage_of_the_bootstraps_by_simulation() -> None:
    generator, trials = rng(5), 120
    hits = dict.fromkeys(["mean", "cluster", "ratio", "auroc"], 0)
    for seed in range(trials):
        hits["mean"] += covered(
            mean_interval(generator.gamma(4, 1, 60), seed=seed, resamples=600), 4
        )
        clips = np.repeat(generator.normal(1, 1, 30), 5)
        values = clips + generator.normal(0, 1, 150)
        found = cluster_bootstrap(values, np.repeat(np.arange(30), 5), seed=seed, resamples=600)
        hits["cluster"] += covered(found, 1)
        y = generator.gamma(16, 1, 60)
        hits["ratio"] += covered(
            ratio_bootstrap(y * generator.uniform(0.4, 0.6, 60), y, seed=seed, resamples=600), 0.5
        )
        high, low = generator.normal(1, 1, 40), generator.normal(0, 1, 40)
        found = auroc_interval(high, low, seed=seed, resamples=300)
        hits["auroc"] += covered(found, stats.norm.cdf(1 / math.sqrt(2)))
    for name, count in hits.items():
        assert count / trials >= 0.88, f"{name}: {count / trials}"
