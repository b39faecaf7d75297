"""Bootstrap intervals of means, paired differences and ratios; resamples whole clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from safe.gates.schema import Interval
from safe.gates.statistics.paired import tango
from safe.gates.statistics.proportions import exact, exact_equality
from safe.gates.statistics.values import MIN_UNITS, Values, as_array, as_pairs

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 10_000
BCA_UNITS = 4_000  # more units use the percentile interval: BCa's jackknife is quadratic
BATCH_VALUES = 20_000_000  # resampled values held at once


def _ratio(top: np.ndarray, bottom: np.ndarray, axis: int = -1) -> np.ndarray:
    ratio: np.ndarray = top.sum(axis=axis) / bottom.sum(axis=axis)
    return ratio


def _bootstrap_ratio(
    top: np.ndarray, bottom: np.ndarray, seed: int, level: float, resamples: int, name: str
) -> Interval:
    """Interval of sum(top) / sum(bottom), resampling units (BCa: Efron 1987)."""
    import numpy as np
    from scipy.stats import bootstrap

    if top.size < MIN_UNITS:
        raise ValueError(f"{top.size} independent units are too few, {MIN_UNITS} are needed")
    if np.ptp(top - bottom * (top.sum() / bottom.sum())) <= 1e-12 * max(1.0, np.abs(top).max()):
        raise ValueError("no variation between units: uncertainty cannot be estimated")
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
        raise ValueError("the bootstrap interval has width zero: too few distinct values")
    return Interval(
        low=float(found.low), high=float(found.high), level=level, method=f"{name}, {method}"
    )


def _by_cluster(
    values: np.ndarray, clusters: Sequence[Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sum, number of items) of each cluster; without clusters, of each item."""
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
    """Bootstrap interval of a mean; whole clusters are resampled if given.

    If all values are 0 or all are 1, the exact interval over the number of independent units (items
    or clusters) replaces the bootstrap.

    Raises:
        ValueError: fewer than 8 units, or equal values other than 0 and 1.
    """
    import numpy as np

    array = as_array(values, "values")
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
    """Interval of the mean of clustered items; see `mean_interval`."""
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

    If all scores are equal, in [0, 1], the score interval for no discordant pair is returned. It
    has both signs: equal scores do not show that the models are equal.

    Args:
        identical_outputs: the outputs themselves are bitwise identical, so the difference is
            exactly 0. Equal scores alone are not sufficient.

    Raises:
        ValueError: no pairs, too few units, no variation of scores outside [0, 1], or identical
            outputs with different scores.
    """
    import numpy as np

    left, right = as_pairs(a, b)
    if identical_outputs:
        return exact_equality(left.tolist(), right.tolist(), level)
    difference = left - right
    if np.ptp(difference) == 0 and difference[0] in (-1.0, 0.0, 1.0):
        # `mean_interval` would take these for proportions, which end at 0 and 1.
        scores = np.concatenate([left, right])
        if scores.min() < 0 or scores.max() > 1:
            raise ValueError("no variation between units: uncertainty cannot be estimated")
        units = left.size if clusters is None else len({str(c) for c in clusters})
        wins = units if difference[0] == 1 else 0
        losses = units if difference[0] == -1 else 0
        return tango(wins, losses, units, level)
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
    top, bottom = as_pairs(numerators, denominators)
    if bottom.min() <= 0:
        raise ValueError("every denominator must be positive")
    if clusters is not None:
        top, bottom = _by_cluster(top, clusters)[0], _by_cluster(bottom, clusters)[0]
    return _bootstrap_ratio(top, bottom, seed, level, resamples, "paired ratio bootstrap")
