"""Numbers and verdicts in words, the same in decisions, gates, commands and on the page."""

from __future__ import annotations

from safe.gates.schema import Criterion, Interval, Judged, Threshold

UNITS = {"fraction": "", "count": "", "ratio": "×", "rho": "", "auroc": "", "r2": ""}
BY = {"ci_low": " by its lower bound", "ci_high": " by its upper bound", "point": "", "exact": ""}


def number(value: float | None, beside: Threshold | None = None) -> str:
    """A number without noise: whole numbers in full, others with four significant digits.

    More digits are given where four would make it look equal to the bound it stands `beside`.
    """
    if value is None:
        return "not measured"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    bounds = beside if isinstance(beside, tuple) else () if beside is None else (beside,)
    for digits in range(4, 18):
        text = f"{value:.{digits}g}"
        if all(value == b or float(text) != b for b in bounds):
            break
    return text


def bound(value: Threshold) -> str:
    """A threshold: a number, or `[low, high]`."""
    if isinstance(value, tuple):
        return f"[{number(value[0])}, {number(value[1])}]"
    return number(value)


def with_unit(value: float | None, unit: str, beside: Threshold | None = None) -> str:
    """A number and its unit, where the unit says more than the number."""
    suffix = UNITS.get(unit, f" {unit}")
    return number(value, beside) + ("" if value is None else suffix)


def interval(ci: Interval, beside: Threshold | None = None) -> str:
    """`95 % interval 0.88 to 0.94`."""
    return f"{ci.level * 100:g} % interval {number(ci.low, beside)} to {number(ci.high, beside)}"


def statement(judged: Judged) -> str:
    """`03.loss = 0.21 nats, needs <= 0.05`: criterion, value, bound, in that order."""
    text = f"{judged.id} = {with_unit(judged.value, judged.unit, judged.threshold)}"
    if judged.ci is not None and judged.decide_on.startswith("ci_"):
        text += f" ({interval(judged.ci, judged.threshold)})"
    return f"{text}, needs {requirement(judged)}"


def requirement(judged: Judged | Criterion) -> str:
    """`>= 0.95 by its lower bound`."""
    return f"{judged.op} {bound(judged.threshold)}{BY[judged.decide_on]}"
