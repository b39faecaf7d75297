"""Probability that a criterion passes, and the number of items or seeds for a given power.

`safe.gates.planning` gets the inputs from criteria, plans and earlier runs. This module uses
scipy.special because it imports much faster than scipy.stats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal

from safe.gates.schema import DecideOn, Op, Threshold

ENOUGH = 0.99  # probability from which a criterion counts as decided
LEVEL = 0.95
MOST_ITEMS = 10**8  # upper limit of the search for a number of items
MOST_SEEDS = 1000
THETAS = 400  # quantiles of the true share that power is averaged over if runs vary
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
    """Smallest number of successes of `n` that passes `>= bound`; n + 1 if none does.

    With `strict`, it must pass `> bound`. Wilson's interval inverts the score test, so its lower
    bound reaches `bound` if `k - n bound >= z sqrt(n bound (1 - bound))`. Clopper and Pearson's
    reaches it if `P(X >= k | bound) <= (1 - level) / 2`.
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
        return n + 1  # the lower bound of a sample's interval is below 1
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
    """P(pass) of a share over `n` items, by the exact binomial distribution.

    The design effect does not change the required share of successes; outcomes are those of
    `n / design` independent items. With a spread between runs, the true share is beta-distributed.

    Returns:
        The probability, or None if no outcome passes.
    """
    if op in ("<=", "<"):  # equivalent to a bound on the share of failures
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

    The interval's bound lies z standard errors from the value. The value varies by the standard
    error and by the spread between runs.
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
    variance between seeds plus the items' residual variance divided by the number of items.
    """
    from scipy.special import chdtr

    variance = run_sd**2 + item_sd**2 * design / items
    if variance == 0:
        return float(bound >= 0)
    return float(chdtr(seeds - 1, (seeds - 1) * max(0.0, bound) ** 2 / variance))


def largest_spread(seeds: int, bound: float, wanted: float = ENOUGH) -> float:
    """Largest true standard deviation for which `seeds` seeds pass with probability `wanted`."""
    from scipy.special import chdtri

    return bound * math.sqrt((seeds - 1) / float(chdtri(seeds - 1, 1 - wanted)))


# Sizes -------------------------------------------------------------------------------------------


def smallest(
    power: Callable[[int], float | None], start: int, most: int, wanted: float = ENOUGH
) -> int | None:
    """Smallest number in [start, most] with power `wanted`, or None, by doubling and bisection.

    The power of a share is not monotonic (saw-tooth), so for a share the result is approximate.
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
