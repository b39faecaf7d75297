"""Is a training curve stable? Spikes, divergence and oscillation of loss and gradient norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

WINDOW = 25  # steps a value is compared with
SPIKE_MADS = 12.0  # beyond what the noise of any stable curve of the miniature reached
SCALE = 1.4826  # of the MAD, so that it estimates a normal standard deviation


@dataclass(frozen=True, slots=True)
class Stability:
    """What is wrong with a curve.

    Attributes:
        not_finite: steps with a value that is not finite.
        spikes: steps that stand out upwards.
        diverged: the last tenth lies above the first.
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
    """Look at one curve of positive values, such as a loss or a gradient norm.

    A step is compared, in logarithms so that a falling curve is measured by one scale, with the
    median of the `window` steps before it. A spike lies further above than `mads` times the
    median absolute deviation of all such differences. The first `window` steps have too little
    before them to be called spikes.
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
    """How much of the way that a curve goes leads upwards, from 0 to 1.

    Of the means over `blocks` consecutive pieces: the sum of all rises over the sum of all rises
    and falls. A curve that falls has 0, one that swings without coming down 0.5.

    Raises:
        ValueError: fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values are no curve")
    count = min(blocks, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [fmean(values[a:b]) for a, b in pairwise(edges)]
    moves = [b - a for a, b in pairwise(means)]
    way = math.fsum(abs(move) for move in moves)
    return math.fsum(move for move in moves if move > 0) / way if way else 0.0
