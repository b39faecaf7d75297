"""Format numbers for the page: fractions in per cent, no value rounded to its bound."""

from __future__ import annotations

from safe.gates.schema import Judged, Threshold

SIGNS = {"<=": "≤", ">=": "≥", "<": "<", ">": ">", "==": "="}
SIGN_OF = {"fraction": "\N{NO-BREAK SPACE}%", "ratio": "\N{NO-BREAK SPACE}×"}
BARE = ("count", "rho", "auroc", "r2", "score")  # units that are not shown
DECIDES = {
    "ci_low": "lower bound of the interval",
    "ci_high": "upper bound of the interval",
    "point": "the value itself",
    "exact": "the exact value",
}


def plain(value: float, unit: str) -> str:
    """Format a number without its unit; fractions are multiplied by 100."""
    scaled = value * 100 if unit == "fraction" else value
    if scaled == int(scaled) and abs(scaled) < 1e15:
        return f"{int(scaled):,}"
    return f"{scaled:.4g}" if 1e-4 <= abs(scaled) < 1e6 else f"{scaled:.3g}"


def show(value: float | None, unit: str, near: Threshold | None = None) -> str:
    """Format a number with % or ×; uses more digits if it would look equal to `near`."""
    if value is None:
        return "—"
    text = plain(value, unit)
    bounds = near if isinstance(near, tuple) else () if near is None else (near,)
    if any(value != b and text == plain(b, unit) for b in bounds):
        text = f"{value * 100 if unit == 'fraction' else value:.9g}"
    return (text + SIGN_OF.get(unit, "")).replace("-", "−", 1 if text.startswith("-") else 0)


def word(unit: str) -> str:
    """Return the unit, or an empty string if it is a sign or not shown."""
    return "" if unit in SIGN_OF or unit in BARE else unit


def bound(op: str, threshold: Threshold, unit: str) -> str:
    """Format a bound: `≥ 95 %`, or `between 10,000,000 and 50,000,000`."""
    if isinstance(threshold, tuple):
        return f"between {show(threshold[0], unit)} and {show(threshold[1], unit)}"
    return f"{SIGNS[op]} {show(threshold, unit)}"


def interval(judged: Judged) -> str:
    """Format the interval as `95 % interval 93.1 – 99.0 %`, or return an empty string."""
    if judged.ci is None:
        return ""
    low, high = show(judged.ci.low, judged.unit), show(judged.ci.high, judged.unit)
    return f"{judged.ci.level * 100:g}\N{NO-BREAK SPACE}% interval {low} – {high}"


def seconds(value: float) -> str:
    """Format a duration: `3 min 5 s`."""
    minutes, rest = divmod(value, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def size(count: int) -> str:
    """Format a number of bytes: `1.4 GB`."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} bytes"
