"""AUROC, rank correlation, quantiles and spread."""

from __future__ import annotations

from safe.gates.schema import Interval
from safe.gates.statistics.proportions import exact
from safe.gates.statistics.values import MIN_UNITS, Values, as_array


def auroc(positive: Values, negative: Values) -> float:
    """P(positive > negative) + P(equal) / 2: the area under the ROC curve."""
    from scipy.stats import mannwhitneyu

    high, low = as_array(positive, "positive"), as_array(negative, "negative")
    return float(mannwhitneyu(high, low).statistic) / (high.size * low.size)


def auroc_interval(
    positive: Values, negative: Values, *, seed: int, level: float = 0.95, resamples: int = 2_000
) -> Interval:
    """Stratified percentile bootstrap of the AUROC.

    Under perfect separation every resample gives the same value. The exact interval over the
    min(n+, n-) disjoint pairs, each an independent trial, then replaces the bootstrap.

    Raises:
        ValueError: fewer than 8 items of either kind, or an interval of width zero.
    """
    import numpy as np

    high, low = as_array(positive, "positive"), as_array(negative, "negative")
    fewest = min(high.size, low.size)
    if fewest < MIN_UNITS:
        raise ValueError(f"{fewest} items of one kind are too few, {MIN_UNITS} are needed")
    if high.min() > low.max() or high.max() < low.min():
        found = exact(fewest if high.min() > low.max() else 0, fewest, level)
        return found.model_copy(update={"method": f"clopper-pearson over {fewest} disjoint pairs"})
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):
        above, below = rng.choice(high, high.size), np.sort(rng.choice(low, low.size))
        less, upto = np.searchsorted(below, above), np.searchsorted(below, above, side="right")
        draws[i] = (less + upto).sum() / (2 * high.size * low.size)
    bounds = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    if bounds[0] == bounds[1]:
        raise ValueError("the bootstrap interval has width zero: too few distinct values")
    return Interval(
        low=float(bounds[0]), high=float(bounds[1]), level=level, method="stratified bootstrap"
    )


def rank_correlation(x: Values, y: Values, level: float = 0.95) -> tuple[float, Interval]:
    """Spearman's rho and its interval on Fisher's scale (Bonett and Wright 2000).

    Fisher's scale is infinite at rho = ±1. The interval is then computed at the closest other rho,
    that of ranks with one adjacent swap. Pairs are assumed exchangeable: for a time series the
    interval is descriptive, not a test.

    Raises:
        ValueError: fewer than 8 pairs, or constant values.
    """
    from math import atanh, sqrt, tanh

    import numpy as np
    from scipy.stats import norm, spearmanr

    first, second = as_array(x, "x"), as_array(y, "y")
    n = first.size
    if n != second.size or n < MIN_UNITS:
        raise ValueError(f"{n} and {second.size} values: at least {MIN_UNITS} pairs are needed")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError("constant values have no rank correlation")
    rho = float(spearmanr(first, second).statistic)
    swapped = 1 - 12 / (n * (n * n - 1))
    inner = max(-swapped, min(swapped, rho))
    half = float(norm.ppf((1 + level) / 2)) * sqrt((1 + inner**2 / 2) / (n - 3))
    low, high = tanh(atanh(inner) - half), tanh(atanh(inner) + half)
    interval = Interval(
        low=min(low, rho), high=max(high, rho), level=level, method="fisher, bonett-wright"
    )
    return rho, interval


def quantile_interval(values: Values, q: float, level: float = 0.95) -> Interval:
    """Distribution-free interval of a quantile, from order statistics.

    Raises:
        ValueError: too few values for two order statistics to enclose the quantile at this level.
    """
    from math import isnan

    from scipy.stats import quantile_test

    array = as_array(values, "values")
    found = quantile_test(array, p=q).confidence_interval(level)
    if isnan(found.low) or isnan(found.high):
        raise ValueError(f"{array.size} values are too few for the {q:g} quantile at {level:g}")
    return Interval(
        low=float(found.low), high=float(found.high), level=level, method="order statistics"
    )


def sd_interval(values: Values, level: float = 0.95) -> Interval:
    """Interval of a standard deviation of normal values, by the chi-squared distribution.

    Raises:
        ValueError: fewer than 3 values, or all equal.
    """
    from math import sqrt

    import numpy as np
    from scipy.stats import chi2

    array = as_array(values, "values")
    if array.size < 3 or np.ptp(array) == 0:
        raise ValueError("at least 3 values, not all equal, are needed")
    squares = float(array.var(ddof=1)) * (array.size - 1)
    low, high = (
        sqrt(squares / chi2.ppf(p, array.size - 1)) for p in ((1 + level) / 2, (1 - level) / 2)
    )
    return Interval(low=low, high=high, level=level, method="chi-squared")
