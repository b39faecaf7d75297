"""Drawing of a criterion: value, interval and bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from safe.gates.schema import Judged

WIDTH, HEIGHT, MIDDLE, EDGE = 220, 30, 15, 8


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map from values to x coordinates of the drawing."""

    low: float
    high: float

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + share * (WIDTH - 2 * EDGE), 1)


def scale_of(judged: Judged) -> Scale:
    """Return a range that contains value, interval and bound, with a margin."""
    threshold = judged.threshold
    bounds = list(threshold) if isinstance(threshold, tuple) else [threshold]
    points = [*bounds, *([judged.value] if judged.value is not None else [])]
    if judged.ci is not None:
        points += [judged.ci.low, judged.ci.high]
    low, high = min(points), max(points)
    margin = 0.25 * (high - low) or max(1.0, abs(low)) * 0.5
    start, end = low - margin, high + margin
    if judged.unit == "fraction" and low >= 0 and high <= 1:
        start, end = max(0.0, start), min(1.0, end)
        if start == end:
            start, end = 0.0, 1.0
    return Scale(start, end)


def _passing_band(judged: Judged, scale: Scale) -> tuple[float, float]:
    threshold = judged.threshold
    if isinstance(threshold, tuple):
        return scale.x(threshold[0]), scale.x(threshold[1])
    at = scale.x(threshold)
    if judged.op in (">=", ">"):
        return at, WIDTH - EDGE
    if judged.op in ("<=", "<"):
        return EDGE, at
    return at - 3, at + 3


def interval_bar(judged: Judged, description: str) -> Markup:
    """Draw a criterion as inline SVG, styled by the page's CSS; empty without a finite value.

    The shaded band is the passing range, the dashed line the bound, the bar the interval and the
    diamond the value. The deciding end of the interval has a thick cap.
    """
    value = judged.value
    if value is None or not math.isfinite(value):
        return Markup("")
    scale = scale_of(judged)
    left, right = _passing_band(judged, scale)
    threshold = judged.threshold
    bounds = threshold if isinstance(threshold, tuple) else (threshold,)
    parts = [
        f'<rect class="track" x="{EDGE}" y="{MIDDLE - 3}" width="{WIDTH - 2 * EDGE}" height="6" '
        'rx="3"/>',
        f'<rect class="band" x="{left}" y="{MIDDLE - 9}" '
        f'width="{max(0.0, round(right - left, 1))}" height="18" rx="2"/>',
    ]
    parts += [
        f'<line class="bound" x1="{scale.x(b)}" x2="{scale.x(b)}" y1="2" y2="{HEIGHT - 2}"/>'
        for b in bounds
    ]
    if judged.ci is not None:
        start, end = scale.x(judged.ci.low), scale.x(judged.ci.high)
        parts.append(f'<line class="ci" x1="{start}" x2="{end}" y1="{MIDDLE}" y2="{MIDDLE}"/>')
        for at, name in ((start, "ci_low"), (end, "ci_high")):
            kind = "cap deciding" if judged.decide_on == name else "cap"
            parts.append(
                f'<line class="{kind}" x1="{at}" x2="{at}" y1="{MIDDLE - 6}" y2="{MIDDLE + 6}"/>'
            )
    at = scale.x(value)
    parts.append(
        f'<path class="value" d="M{at} {MIDDLE - 6}l5 6l-5 6l-5 -6z"/>',
    )
    body = Markup("".join(parts))  # noqa: S704  # numbers and fixed words only
    return Markup(
        '<svg class="bar" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{text}"><title>{text}</title>{body}</svg>'
    ).format(w=WIDTH, h=HEIGHT, text=description, body=body)
