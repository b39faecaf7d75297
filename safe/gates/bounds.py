"""Comparison of a number with a threshold."""

from __future__ import annotations

from safe.gates.schema import Op, Threshold


def satisfies(value: float, op: Op, threshold: Threshold) -> bool:
    """Return whether `value op threshold` holds; False for NaN."""
    if isinstance(threshold, tuple):
        return threshold[0] <= value <= threshold[1]
    return {
        ">=": value >= threshold,
        ">": value > threshold,
        "<=": value <= threshold,
        "<": value < threshold,
        "==": value == threshold,
        "between": False,
    }[op]


def margin_of(value: float, op: Op, threshold: Threshold) -> float:
    """Return the signed distance of `value` to the bound, positive on the passing side."""
    if isinstance(threshold, tuple):
        return min(value - threshold[0], threshold[1] - value)
    if op in (">=", ">"):
        return value - threshold
    if op in ("<=", "<"):
        return threshold - value
    return -abs(value - threshold)
