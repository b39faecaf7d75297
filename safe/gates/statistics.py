"""Intervals for what the experiments measure. scipy and statsmodels do the statistics.

Every function refuses too little data (ValueError) where the usual recipe would return an interval
of width zero: a gate would read that as certainty. Where the data show no variation, an exact
interval takes the place of the bootstrap or, if there is none, the data are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safe.gates.schema import Interval

if TYPE_CHECKING:
    import numpy as np

MIN_UNITS = 8  # independent units below which a bootstrap says nothing
RESAMPLES = 10_000
BCA_UNITS = 4_000  # above, the percentile interval: BCa's jackknife costs units squared
BATCH_VALUES = 20_000_000  # resampled values held at once

Values = Sequence[float] | Any  # anything numpy makes a 1-d array of


def _array(values: Values, name: str) -> np.ndarray:
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name}: a non-empty list of numbers is needed, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} values are not finite")
    return array


# Proportions -------------------------------------------------------------------------------------


def _proportion(successes: int, n: int, level: float, method: str, name: str) -> Interval:
    from statsmodels.stats.proportion import proportion_confint

    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")
    low, high = proportion_confint(successes, n, alpha=1 - level, method=method)
    return Interval(low=max(0.0, float(low)), high=min(1.0, float(high)), level=level, method=name)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    return _proportion(successes, n, level, "wilson", "wilson")


def exact(successes: int, n: int, level: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a proportion (1934): never under its level."""
    return _proportion(successes, n, level, "beta", "clopper-pearson")


def exact_equality(left: Sequence[Any], right: Sequence[Any], level: float = 0.95) -> Interval:
    """[0, 0] for two models whose outputs are equal on every item, bit for bit.

    Raises:
        ValueError: no items, another number of them, or an item that differs.
    """
    if len(left) != len(right) or len(left) == 0:
        raise ValueError(f"pairs are needed, not {len(left)} and {len(right)} items")
    differing = sum(1 for a, b in zip(left, right, strict=True) if not _same(a, b))
    if differing:
        raise ValueError(f"{differing} of {len(left)} outputs differ: not equal bit for bit")
    return Interval(low=0.0, high=0.0, level=level, method="exact equality")


def _same(a: Any, b: Any) -> bool:
    if hasattr(a, "tobytes") and hasattr(b, "tobytes"):  # NaN equals itself, -0.0 is not 0.0
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    return type(a) is type(b) and a == b


# Bootstrap ---------------------------------------------------------------------------------------


def _ratio(top: np.ndarray, bottom: np.ndarray, axis: int = -1) -> np.ndarray:
    ratio: np.ndarray = top.sum(axis=axis) / bottom.sum(axis=axis)
    return ratio


def _bootstrap_ratio(
    top: np.ndarray, bottom: np.ndarray, seed: int, level: float, resamples: int, name: str
) -> Interval:
    """Interval of sum(top) / sum(bottom) over units resampled whole (Efron 1987)."""
    import numpy as np
    from scipy.stats import bootstrap

    if top.size < MIN_UNITS:
        raise ValueError(f"{top.size} independent units are too few, {MIN_UNITS} are needed")
    if np.ptp(top - bottom * (top.sum() / bottom.sum())) <= 1e-12 * max(1.0, np.abs(top).max()):
        raise ValueError("no variation between units: a bootstrap cannot tell how certain this is")
    method = "BCa" if top.size <= BCA_UNITS else "percentile"
    found = bootstrap(
        (top, bottom),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BATCH_VALUES // top.size),
        confidence_level=level,
        method=method,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    if not (np.isfinite(found.low) and np.isfinite(found.high)) or found.low == found.high:
        raise ValueError("the bootstrap found no width: too few distinct values")
    return Interval(
        low=float(found.low), high=float(found.high), level=level, method=f"{name}, {method}"
    )


def _by_cluster(
    values: np.ndarray, clusters: Sequence[Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """(sum, number of items) of each cluster; every item its own cluster where none are given."""
    import numpy as np

    if clusters is None:
        return values, np.ones_like(values)
    if len(clusters) != values.size:
        raise ValueError(f"{values.size} values but {len(clusters)} cluster labels")
    _, index = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    return np.bincount(index, values), np.bincount(index).astype(float)


def mean_interval(
    values: Values,
    *,
    seed: int,
    clusters: Sequence[Any] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Bootstrap interval of a mean; whole clusters are resampled where they are given.

    Values of 0 and 1 that are all alike have no bootstrap; the exact interval over the number of
    independent units (items or clusters) takes its place.

    Raises:
        ValueError: fewer than 8 units, or no variation among values that are not 0 or 1.
    """
    import numpy as np

    array = _array(values, "values")
    top, bottom = _by_cluster(array, clusters)
    if array.min() == array.max() and array[0] in (0.0, 1.0):
        units = int(top.size)
        found = exact(units if array[0] == 1.0 else 0, units, level)
        return found.model_copy(update={"method": f"clopper-pearson over {units} units"})
    name = "bootstrap" if clusters is None else "cluster bootstrap"
    return _bootstrap_ratio(np.asarray(top), bottom, seed, level, resamples, name)


def cluster_bootstrap(
    values: Values,
    clusters: Sequence[Any],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of a mean over items that share clips or images."""
    return mean_interval(values, seed=seed, clusters=clusters, level=level, resamples=resamples)


def paired_difference(
    a: Values,
    b: Values,
    *,
    seed: int,
    clusters: Sequence[Any] | None = None,
    identical_outputs: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of mean(a - b), where a[i] and b[i] are two models' scores of item i.

    Args:
        identical_outputs: the caller compared the outputs themselves and found them equal bit for
            bit; the difference is then exactly 0. Equal scores alone do not show that.

    Raises:
        ValueError: no pairs, too few units, or identical outputs with different scores.
    """
    import numpy as np

    left, right = _array(a, "a"), _array(b, "b")
    if left.size != right.size:
        raise ValueError(f"pairs are needed, not {left.size} and {right.size} items")
    if identical_outputs:
        return exact_equality(left.tolist(), right.tolist(), level)
    difference = left - right
    if np.ptp(difference) == 0 and difference[0] in (-1.0, 0.0, 1.0):
        units = left.size if clusters is None else len({str(c) for c in clusters})
        if set(np.unique(np.concatenate([left, right]))) <= {0.0, 1.0}:
            wins = units if difference[0] == 1 else 0
            losses = units if difference[0] == -1 else 0
            return _tango(wins, losses, units, level)
    found = mean_interval(
        difference, seed=seed, clusters=clusters, level=level, resamples=resamples
    )
    return found.model_copy(update={"method": f"paired {found.method}"})


def ratio_bootstrap(
    numerators: Values,
    denominators: Values,
    *,
    seed: int,
    clusters: Sequence[Any] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Interval of sum(numerators) / sum(denominators) over paired units.

    Raises:
        ValueError: a denominator that is not positive, too few units, or no variation.
    """
    top, bottom = _array(numerators, "numerators"), _array(denominators, "denominators")
    if top.size != bottom.size:
        raise ValueError(f"pairs are needed, not {top.size} and {bottom.size} values")
    if bottom.min() <= 0:
        raise ValueError("every denominator must be positive")
    if clusters is not None:
        top, bottom = _by_cluster(top, clusters)[0], _by_cluster(bottom, clusters)[0]
    return _bootstrap_ratio(top, bottom, seed, level, resamples, "paired ratio bootstrap")


# Paired answers, right or wrong ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two models' right and wrong answers on the same items."""

    difference: float  # accuracy of a minus accuracy of b
    p_value: float  # exact, two-sided: are the discordant pairs split evenly?
    interval: Interval  # of the difference


def mcnemar_exact(a: Values, b: Values, level: float = 0.95) -> McNemar:
    """McNemar's exact test (1947) with Tango's score interval of the difference (1998).

    Args:
        a, b: 0 or 1 per item, same items in the same order.

    Raises:
        ValueError: no pairs, or values other than 0 and 1.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    left, right = _array(a, "a"), _array(b, "b")
    if left.size != right.size:
        raise ValueError(f"pairs are needed, not {left.size} and {right.size} items")
    if not {*left.tolist(), *right.tolist()} <= {0.0, 1.0}:
        raise ValueError("answers are right (1) or wrong (0)")
    n = left.size
    wins, losses = int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum())
    p_value = float(mcnemar([[0, wins], [losses, 0]], exact=True).pvalue) if wins + losses else 1.0
    return McNemar((wins - losses) / n, p_value, _tango(wins, losses, n, level))


def _tango(wins: int, losses: int, n: int, level: float) -> Interval:
    """Score interval of a difference of paired proportions (Tango 1998, Stat. Med. 17:891)."""
    from math import sqrt

    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    point = (wins - losses) / n

    def score(delta: float) -> float:
        linear = -wins - losses + (2 * n - wins + losses) * delta
        constant = -losses * delta * (1 - delta)
        q = (sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return (wins - losses - n * delta) / sqrt(max(variance, 1e-300))

    edge = 1e-12
    low = -1.0
    if point > -1 and score(-1 + edge) > z:
        low = float(brentq(lambda d: score(d) - z, -1 + edge, min(point, 1 - edge)))
    high = 1.0
    if point < 1 and score(1 - edge) < -z:
        high = float(brentq(lambda d: score(d) + z, max(point, -1 + edge), 1 - edge))
    return Interval(low=low, high=high, level=level, method="tango score")


# Ranks, quantiles, spread ------------------------------------------------------------------------


def auroc(positive: Values, negative: Values) -> float:
    """P(positive > negative) + P(equal) / 2: the area under the ROC curve."""
    from scipy.stats import mannwhitneyu

    high, low = _array(positive, "positive"), _array(negative, "negative")
    return float(mannwhitneyu(high, low).statistic) / (high.size * low.size)


def auroc_interval(
    positive: Values, negative: Values, *, seed: int, level: float = 0.95, resamples: int = 2_000
) -> Interval:
    """Stratified percentile bootstrap of the AUROC.

    Under perfect separation every resample gives 1 and the bootstrap is blind; the exact interval
    over the min(n+, n-) disjoint pairs, each an independent trial, takes its place.

    Raises:
        ValueError: fewer than 8 items of either kind, or all scores alike.
    """
    import numpy as np

    high, low = _array(positive, "positive"), _array(negative, "negative")
    fewest = min(high.size, low.size)
    if fewest < MIN_UNITS:
        raise ValueError(f"{fewest} items of a kind are too few, {MIN_UNITS} are needed")
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
        raise ValueError("the bootstrap found no width: too few distinct values")
    return Interval(
        low=float(bounds[0]), high=float(bounds[1]), level=level, method="stratified bootstrap"
    )


def rank_correlation(x: Values, y: Values, level: float = 0.95) -> tuple[float, Interval]:
    """Spearman's rho and its interval on Fisher's scale (Bonett and Wright 2000).

    At rho = ±1 Fisher's scale has no end; the interval is then taken at the rho of ranks with one
    adjacent swap, the nearest that the data could have shown. Pairs are taken as exchangeable: for
    a curve over time the interval is a description, not a test.

    Raises:
        ValueError: fewer than 8 pairs, or a constant.
    """
    from math import atanh, sqrt, tanh

    import numpy as np
    from scipy.stats import norm, spearmanr

    first, second = _array(x, "x"), _array(y, "y")
    n = first.size
    if n != second.size or n < MIN_UNITS:
        raise ValueError(f"{n} and {second.size} values: {MIN_UNITS} pairs or more are needed")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError("a constant has no rank correlation")
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
    """Interval of a quantile from order statistics; needs no shape of the distribution.

    Raises:
        ValueError: too few values for two order statistics to enclose the quantile at this level.
    """
    import numpy as np
    from scipy.stats import binom

    ordered = np.sort(_array(values, "values"))
    n, tail = ordered.size, (1 - level) / 2
    # P(X(k) <= quantile) = P(Binomial(n, q) >= k): the widest k on each side that keeps the tail.
    low = int(binom.ppf(tail, n, q))  # counted from 1; 0 means that no value is low enough
    if binom.cdf(low - 1, n, q) > tail:
        low -= 1
    high = int(binom.ppf(1 - tail, n, q)) + 1
    if low < 1 or high > n:
        raise ValueError(f"{n} values are too few for the {q:g} quantile at {level:g}")
    return Interval(
        low=float(ordered[low - 1]),
        high=float(ordered[high - 1]),
        level=level,
        method="order statistics",
    )


def sd_interval(values: Values, level: float = 0.95) -> Interval:
    """Interval of a standard deviation of normal values, by the chi-squared distribution.

    Raises:
        ValueError: fewer than 3 values, or all alike.
    """
    from math import sqrt

    import numpy as np
    from scipy.stats import chi2

    array = _array(values, "values")
    if array.size < 3 or np.ptp(array) == 0:
        raise ValueError("3 values that are not all alike are needed")
    squares = float(array.var(ddof=1)) * (array.size - 1)
    low, high = (
        sqrt(squares / chi2.ppf(p, array.size - 1)) for p in ((1 + level) / 2, (1 - level) / 2)
    )
    return Interval(low=low, high=high, level=level, method="chi-squared")
