"""Checks of the statistics' input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MIN_UNITS = 8  # smallest number of independent units for a bootstrap

Values = Sequence[float] | Any  # anything that numpy converts to a 1-d array


def as_array(values: Values, name: str) -> np.ndarray:
    """Convert to a finite, non-empty 1-d array; ValueError otherwise."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty list of numbers, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} values are not finite")
    return array


def as_pairs(a: Values, b: Values) -> tuple[np.ndarray, np.ndarray]:
    """Convert to two arrays of equal length; ValueError otherwise."""
    left, right = as_array(a, "first of the pairs"), as_array(b, "second of the pairs")
    if left.size != right.size:
        raise ValueError(f"pairs are needed, not {left.size} and {right.size} values")
    return left, right
