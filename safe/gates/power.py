"""The probability that a criterion passes, and the items and seeds that make it certain enough.

Formulas only; `safe.gates.planning` takes their inputs from criteria, plans and earlier runs.
scipy.special has all that is needed and imports much faster than scipy.stats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

from safe.gates.schema import DecideOn, Op, Threshold

ENOUGH = 0.99  # probability from which a criterion counts as decided
LEVEL = 0.95
MOST_ITEMS = 10**8  # a larger number of items is no plan
MOST_SEEDS = 1000
THETAS = 400  # values of the true share that a spread between runs is averaged over
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def normal_cdf(x: float) -> float:
    """P(N(0, 1) <= x)."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


# Proportions -------------------------------------------------------------------------------------


def successes_needed(
    n: int,
    bound: float,
    decide_on: DecideOn,
    interval: Literal["wilson", "clopper-pearson"] = "wilson",
    strict: bool = False,
) -> int:
    """The fewest successes of `n` that pass `>= bound` (`> bound` where strict); n + 1 if none do.

    Wilson's bound is the score test turned around, so its lower bound reaches `bound` where
    `k - n bound >= z sqrt(n bound (1 - bound))`. Clopper and Pearson's does where
    `P(X >= k | bound) <= (1 - level) / 2`.
    """
    if not 0 <= bound <= 1:
        return 0 if bound < 0 else n + 1
    if decide_on == "ci_low" and 0 < bound < 1:
        if interval == "wilson":
            return math.ceil(n * bound + Z * math.sqrt(n * bound * (1 - bound)) - 1e-9)
        from scipy.special import betainc

        low, high = 0, n + 1
        while low < high:
            k = (low + high) // 2
            tail = 1.0 if k == 0 else float(betainc(k, n - k + 1, bound))
            low, high = (low, k) if tail <= (1 - LEVEL) / 2 else (k + 1, high)
        return low
    if decide_on == "ci_low" and bound == 1:
        return n + 1  # no interval of a sample ends at 1 from below
    needed = math.ceil(n * bound - 1e-9)
    return needed + (strict and needed <= n * bound + 1e-9)


def proportion_power(
    n: int,
    expected: float,
    op: Op,
    bound: float,
    decide_on: DecideOn,
    *,
    run_sd: float = 0.0,
    design: float = 1.0,
    interval: Literal["wilson", "clopper-pearson"] = "wilson",
) -> float | None:
    """P(pass) of a share over `n` items, exact binomial over its outcomes.

    A design effect leaves the number of successes that is needed and takes the outcomes of
    `n / design` independent items. A spread between runs makes the true share beta-distributed.

    Returns:
        None where no outcome passes.
    """
    if op in ("<=", "<"):  # so many failures are the mirror image
        mirrored: Op = ">=" if op == "<=" else ">"
        side: DecideOn = "ci_low" if decide_on == "ci_high" else decide_on
        return proportion_power(
            n, 1 - expected, mirrored, 1 - bound, side,
            run_sd=run_sd, design=design, interval=interval,
        )  # fmt: skip
    needed = successes_needed(n, bound, decide_on, interval, strict=op == ">")
    if needed > n:
        return None
    if needed <= 0:
        return 1.0
    from scipy.special import betainc, betaincinv

    k, trials = (needed - 0.5) / design + 0.5, n / design
    k = min(k, trials)
    spread = run_sd**2
    if spread == 0 or expected in (0.0, 1.0):
        return float(betainc(k, trials - k + 1, expected))
    import numpy as np

    # The variance of a share cannot exceed p (1 - p).
    total = max(expected * (1 - expected) / spread - 1, 1e-3)
    middles = (np.arange(THETAS) + 0.5) / THETAS
    shares = betaincinv(expected * total, (1 - expected) * total, middles)
    return float(betainc(k, trials - k + 1, shares).mean())


# Means -------------------------------------------------------------------------------------------


def mean_power(
    n: int,
    expected: float,
    op: Op,
    bound: Threshold,
    decide_on: DecideOn,
    *,
    item_sd: float = 0.0,
    run_sd: float = 0.0,
    design: float = 1.0,
) -> float:
    """P(pass) of a mean, difference, ratio or time, by the normal approximation.

    The bound of the interval lies z standard errors from the value; the value itself varies by the
    standard error and by the spread between runs.
    """
    error = item_sd * math.sqrt(design / n)
    spread = math.hypot(error, run_sd)

    def below(limit: float) -> float:
        if spread == 0:
            return float(expected <= limit)
        return normal_cdf((limit - expected) / spread)

    if isinstance(bound, tuple):
        edge = math.nextafter(bound[0], -math.inf) if spread == 0 else bound[0]
        return max(0.0, below(bound[1]) - below(edge))
    if op == "==":
        return float(spread == 0 and expected == bound)
    distance = expected - bound if op in (">=", ">") else bound - expected
    distance -= Z * error if decide_on.startswith("ci_") else 0.0
    if spread == 0:
        return float(distance > 0 if op in (">", "<") else distance >= 0)
    return normal_cdf(distance / spread)


# Spread over seeds -------------------------------------------------------------------------------


def seed_spread_power(
    seeds: int,
    items: float,
    bound: float,
    *,
    item_sd: float = 0.0,
    run_sd: float = 0.0,
    design: float = 1.0,
) -> float:
    """P(s <= bound) of the sample standard deviation over seeds, by the chi-squared distribution.

    (k - 1) s^2 / sigma^2 is chi-squared with k - 1 degrees of freedom, where sigma^2 is the
    variance between seeds plus that of the items' residuals over the number of items.
    """
    from scipy.special import chdtr

    variance = run_sd**2 + item_sd**2 * design / items
    if variance == 0:
        return float(bound >= 0)
    return float(chdtr(seeds - 1, (seeds - 1) * max(0.0, bound) ** 2 / variance))


def largest_spread(seeds: int, bound: float, wanted: float = ENOUGH) -> float:
    """The largest true standard deviation whose sample of `seeds` passes with `wanted`."""
    from scipy.special import chdtri

    return bound * math.sqrt((seeds - 1) / float(chdtri(seeds - 1, 1 - wanted)))


# Sizes -------------------------------------------------------------------------------------------


def smallest(
    power: Callable[[int], float | None], start: int, most: int, wanted: float = ENOUGH
) -> int | None:
    """The smallest number from `start` on with the power `wanted`; None if none up to `most` has.

    By doubling and then halving the gap. The power of a share rises in a saw-tooth, so that of a
    share it is a number from which on about as many are enough, not the very first.
    """

    def enough(n: int) -> bool:
        found = power(n)
        return found is not None and found >= wanted

    low, high = start - 1, start
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
