"""Comparison of two models' answers to the same items."""

from __future__ import annotations

from dataclasses import dataclass

from safe.gates.schema import Interval
from safe.gates.statistics.values import Values, as_pairs


@dataclass(frozen=True, slots=True)
class McNemar:
    """Comparison of two models' correct and wrong answers to the same items."""

    difference: float  # accuracy of a minus accuracy of b
    p_value: float  # exact, two-sided; null hypothesis: discordant pairs split evenly
    interval: Interval  # of the difference


def mcnemar_exact(a: Values, b: Values, level: float = 0.95) -> McNemar:
    """McNemar's exact test (1947) with Tango's score interval of the difference (1998).

    Args:
        a, b: 0 or 1 per item; the same items in the same order.

    Raises:
        ValueError: no pairs, or values other than 0 and 1.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    left, right = as_pairs(a, b)
    if not {*left.tolist(), *right.tolist()} <= {0.0, 1.0}:
        raise ValueError("answers must be 1 (correct) or 0 (wrong)")
    n = left.size
    wins, losses = int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum())
    p_value = float(mcnemar([[0, wins], [losses, 0]], exact=True).pvalue) if wins + losses else 1.0
    return McNemar((wins - losses) / n, p_value, tango(wins, losses, n, level))


def tango(wins: int, losses: int, n: int, level: float) -> Interval:
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
