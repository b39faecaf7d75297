"""Text of numbers and verdicts, shared by decisions, gates, commands and the page."""

from __future__ import annotations

from safe.gates.schema import Criterion, Interval, Judged, Threshold

UNITS = {"fraction": "", "count": "", "ratio": "×", "rho": "", "auroc": "", "r2": ""}
BY = {"ci_low": " by its lower bound", "ci_high": " by its upper bound", "point": "", "exact": ""}


def number(value: float | None, near: Threshold | None = None) -> str:
    """Format whole numbers in full, others with four significant digits.

    More digits are used where four would make the value look equal to `near`.
    """
    if value is None:
        return "not measured"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    bounds = near if isinstance(near, tuple) else () if near is None else (near,)
    for digits in range(4, 18):
        text = f"{value:.{digits}g}"
        if all(value == b or float(text) != b for b in bounds):
            break
    return text


def bound(value: Threshold) -> str:
    """Format a threshold as a number or `[low, high]`."""
    if isinstance(value, tuple):
        return f"[{number(value[0])}, {number(value[1])}]"
    return number(value)


def with_unit(value: float | None, unit: str, near: Threshold | None = None) -> str:
    """Format a number with its unit; units in `UNITS` are shown as a symbol or omitted."""
    suffix = UNITS.get(unit, f" {unit}")
    return number(value, near) + ("" if value is None else suffix)


def interval(ci: Interval, near: Threshold | None = None) -> str:
    """Format an interval: `95 % interval 0.88 to 0.94`."""
    return f"{ci.level * 100:g} % interval {number(ci.low, near)} to {number(ci.high, near)}"


def statement(judged: Judged) -> str:
    """Format criterion, value and bound: `03.loss = 0.21 nats, needs <= 0.05`."""
    text = f"{judged.id} = {with_unit(judged.value, judged.unit, judged.threshold)}"
    if judged.ci is not None and judged.decide_on.startswith("ci_"):
        text += f" ({interval(judged.ci, judged.threshold)})"
    return f"{text}, needs {requirement(judged)}"


def requirement(judged: Judged | Criterion) -> str:
    """Format what a criterion requires: `>= 0.95 by its lower bound`."""
    return f"{judged.op} {bound(judged.threshold)}{BY[judged.decide_on]}"
