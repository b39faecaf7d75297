"""Numbers and verdicts in words, the same in decisions, gates, commands and on the page."""

from __future__ import annotations

from safe.gates.schema import Criterion, Interval, Judged, Threshold

UNITS = {"fraction": "", "count": "", "ratio": "×", "rho": "", "auroc": "", "r2": ""}
BY = {"ci_low": " by its lower bound", "ci_high": " by its upper bound", "point": "", "exact": ""}


def number(value: float | None) -> str:
    """A number without noise: whole numbers in full, others with six significant digits."""
    if value is None:
        return "not measured"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.6g}"


def bound(value: Threshold) -> str:
    """A threshold: a number, or `[low, high]`."""
    if isinstance(value, tuple):
        return f"[{number(value[0])}, {number(value[1])}]"
    return number(value)


def with_unit(value: float | None, unit: str) -> str:
    """A number and its unit, where the unit says more than the number."""
    suffix = UNITS.get(unit, f" {unit}")
    return number(value) + ("" if value is None else suffix)


def interval(ci: Interval) -> str:
    """`95 % interval 0.88 to 0.94`."""
    return f"{ci.level * 100:g} % interval {number(ci.low)} to {number(ci.high)}"


def statement(judged: Judged) -> str:
    """`03.loss = 0.21 nats, needs <= 0.05`: criterion, value, bound, in that order."""
    text = f"{judged.id} = {with_unit(judged.value, judged.unit)}"
    if judged.ci is not None and judged.decide_on.startswith("ci_"):
        text += f" ({interval(judged.ci)})"
    return f"{text}, needs {requirement(judged)}"


def requirement(judged: Judged | Criterion) -> str:
    """`>= 0.95 by its lower bound`."""
    return f"{judged.op} {bound(judged.threshold)}{BY[judged.decide_on]}"
