"""Intervals of proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safe.gates.schema import Interval


def _proportion(successes: int, n: int, level: float, method: str, name: str) -> Interval:
    from statsmodels.stats.proportion import proportion_confint

    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    low, high = proportion_confint(successes, n, alpha=1 - level, method=method)
    return Interval(low=max(0.0, float(low)), high=min(1.0, float(high)), level=level, method=name)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    return _proportion(successes, n, level, "wilson", "wilson")


def exact(successes: int, n: int, level: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval (1934); coverage is at least `level`."""
    return _proportion(successes, n, level, "beta", "clopper-pearson")


def exact_equality(left: Sequence[Any], right: Sequence[Any], level: float = 0.95) -> Interval:
    """Return the interval [0, 0] for outputs that are bitwise equal on every item.

    Raises:
        ValueError: no items, sequences of different lengths, or an item that differs.
    """
    if len(left) != len(right) or len(left) == 0:
        raise ValueError(f"pairs are needed, not {len(left)} and {len(right)} items")
    differing = sum(1 for a, b in zip(left, right, strict=True) if not _same(a, b))
    if differing:
        raise ValueError(f"{differing} of {len(left)} outputs differ: not bitwise equal")
    return Interval(low=0.0, high=0.0, level=level, method="exact equality")


def _same(a: Any, b: Any) -> bool:
    if hasattr(a, "tobytes") and hasattr(b, "tobytes"):  # NaN equals itself, -0.0 is not 0.0
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    return type(a) is type(b) and a == b
