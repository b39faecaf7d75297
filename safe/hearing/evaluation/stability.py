"""Stability of training curves: spikes, divergence and oscillation of loss or gradient norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

WINDOW = 25  # number of previous steps that a value is compared with
SPIKE_MADS = 12.0  # above the noise of all stable curves of the miniature
SCALE = 1.4826  # factor from MAD to the standard deviation of a normal distribution


@dataclass(frozen=True, slots=True)
class Stability:
    """Faults of a curve.

    Attributes:
        not_finite: steps with a value that is not finite.
        spikes: steps with a spike, see `judge_curve`.
        diverged: the median of the last tenth exceeds that of the first tenth.
    """

    not_finite: tuple[int, ...]
    spikes: tuple[int, ...]
    diverged: bool

    @property
    def total(self) -> int:
        return len(self.not_finite) + len(self.spikes) + self.diverged


def judge_curve(
    values: Sequence[float], *, mads: float = SPIKE_MADS, window: int = WINDOW
) -> Stability:
    """Find faults of a curve of positive values, such as a loss or a gradient norm.

    The logarithm of each value is compared with the median of the `window` values before it. A step
    is a spike if this difference exceeds the median difference by more than `mads` scaled median
    absolute deviations. The first `window` steps are not checked for spikes.
    """
    broken = tuple(i for i, v in enumerate(values) if not math.isfinite(v))
    if broken or not values:
        return Stability(broken, (), False)
    logs = [math.log(max(v, 1e-12)) for v in values]
    off = [logs[i] - median(logs[i - window : i]) for i in range(window, len(logs))]
    spikes: tuple[int, ...] = ()
    if off:
        middle = median(off)
        spread = SCALE * median(abs(x - middle) for x in off)
        spikes = tuple(i + window for i, x in enumerate(off) if x - middle > mads * spread > 0)
    tenth = max(1, len(values) // 10)
    return Stability((), spikes, median(values[-tenth:]) > median(values[:tenth]))


def rising_share(values: Sequence[float], blocks: int = 12) -> float:
    """Return the share of upward movement in a curve's total movement, in [0, 1].

    Computed on means over `blocks` consecutive pieces: sum of rises / (sum of rises and falls). A
    falling curve has 0; a curve that oscillates around a constant has about 0.5.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"a curve needs at least two values, not {len(values)}")
    count = min(blocks, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [fmean(values[a:b]) for a, b in pairwise(edges)]
    moves = [b - a for a, b in pairwise(means)]
    total = math.fsum(abs(move) for move in moves)
    return math.fsum(move for move in moves if move > 0) / total if total else 0.0
