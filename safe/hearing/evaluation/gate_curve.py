"""What gating policies would give and cost: operating points, their frontier, a threshold's choice.

A gate decides row by row, so that every policy's outcome follows from one table: each question's
scores, and whether it is answered rightly without audio (OFF) and with it (ON).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safe.gates.schema import Interval
from safe.gates.statistics import paired_difference
from safe.hearing.models.gating import POLICIES, UncertaintyGate


@dataclass(frozen=True)
class Outcomes:
    """Questions that are offered a sound, N of them, answered OFF and ON.

    Attributes:
        ids, sources: of the questions; one source is one recording or picture.
        hears: (N,) bool, the question needs its sound; the others are about the picture.
        scores: policy kind -> (N,) float64.
        off, on: (N,) bool, right answers.
        same: (N,) bool, both answers are equal token for token.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    hears: np.ndarray
    scores: Mapping[str, np.ndarray]
    off: np.ndarray
    on: np.ndarray
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Point:
    """One way to gate, and what it gives; shares are of the questions of their kind."""

    kind: str
    threshold: float | None  # None: always on, always off
    skip_rate: float
    accuracy: float
    audio_accuracy: float
    vl_accuracy: float
    vl_consulted: float


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def operating_point(
    outcomes: Outcomes, consult: np.ndarray, kind: str, threshold: float | None = None
) -> Point:
    """What consulting in the rows of `consult`, (N,) bool, gives."""
    right, hears = np.where(consult, outcomes.on, outcomes.off), outcomes.hears
    return Point(
        kind=kind,
        threshold=threshold,
        skip_rate=1 - _share(consult),
        accuracy=_share(right),
        audio_accuracy=_share(right[hears]),
        vl_accuracy=_share(right[~hears]),
        vl_consulted=_share(consult[~hears]),
    )


def cuts_of(scores: np.ndarray) -> np.ndarray:
    """Every threshold that parts the scores otherwise, ascending, half-way between neighbours.

    Half-way, so that rounding decides no row. None where all scores are alike.
    """
    values = np.unique(scores)
    return (values[:-1] + values[1:]) / 2


def thresholds(scores: np.ndarray, points: int) -> list[float]:
    """Up to `points` of the cuts, at evenly spaced quantiles, ascending; fewer where tied."""
    cuts = cuts_of(scores)
    if not len(cuts):
        return []
    below = np.unique(scores, return_counts=True)[1].cumsum()[:-1] / len(scores)
    wanted = np.arange(1, points + 1) / (points + 1)
    nearest = np.abs(below[None, :] - wanted[:, None]).argmin(axis=1)
    return [float(cuts[i]) for i in np.unique(nearest)]


def policies(scores: Mapping[str, np.ndarray], points: int) -> list[UncertaintyGate]:
    """Every policy at the quantiles of its own scores, as `Outcomes.scores` has them."""
    return [
        policy(threshold=threshold)  # type: ignore[call-arg]
        for kind, policy in POLICIES.items()
        for threshold in thresholds(scores[kind], points)
    ]


def curve(outcomes: Outcomes, gates: Iterable[UncertaintyGate]) -> list[Point]:
    """The operating point of each gate on these questions, then always on and always off."""
    found = [
        operating_point(outcomes, g.consults(outcomes.scores[g.kind]), g.kind, g.threshold)
        for g in gates
    ]
    everything = np.ones(len(outcomes), dtype=bool)
    return [
        *found,
        operating_point(outcomes, everything, "always_on"),
        operating_point(outcomes, ~everything, "always_off"),
    ]


def frontier(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in skip rate and accuracy at once, by rising skip rate.

    Accuracy falls strictly along it; of points with equal skip rate and accuracy one is kept.
    """
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.skip_rate, -p.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept[::-1]


# -- choosing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A threshold that was chosen, and what on.

    Attributes:
        gate: the policy with the threshold.
        point: what it gives on those questions.
        drop: interval of the audio accuracy it costs there against always-on.
        outcomes: the very questions it was chosen on.
    """

    gate: UncertaintyGate
    point: Point
    drop: Interval
    outcomes: Outcomes


def audio_drop(outcomes: Outcomes, consult: np.ndarray, *, seed: int) -> Interval:
    """95 % interval of the accuracy lost on questions that need their sound, against always-on.

    Paired, resampled by source; exactly 0 where every answer is the same token for token.

    Raises:
        ValueError: too few sources, or too little variation, to tell.
    """
    hears = outcomes.hears
    gated = np.where(consult, outcomes.on, outcomes.off)[hears]
    return paired_difference(
        outcomes.on[hears].astype(float),
        gated.astype(float),
        seed=seed,
        clusters=[s for s, heard in zip(outcomes.sources, hears, strict=True) if heard],
        identical_outputs=bool((consult | outcomes.same)[hears].all()),
    )


def choose_threshold(
    outcomes: Outcomes, gates: Iterable[UncertaintyGate], *, max_drop: float, seed: int
) -> Choice | None:
    """Of one policy: a threshold that skips much while the drop's upper bound stays in limits.

    The given thresholds are tried first, from the one that skips most. Between the best of them and
    its neighbour that costs too much, the last cut of the scores that is within limits is found by
    halving. A threshold at that limit would be beyond it on other questions half of the time, so
    the one taken lies in the middle, between the limit and the best of those given.
    """

    def within(gate: UncertaintyGate) -> Choice | None:
        consult = gate.consults(outcomes.scores[gate.kind])
        try:
            drop = audio_drop(outcomes, consult, seed=seed)
        except ValueError:
            return None  # it cannot be shown to cost little
        if drop.high > max_drop:
            return None
        point = operating_point(outcomes, consult, gate.kind, gate.threshold)
        return Choice(gate, point, drop, outcomes)

    def consulting(gate: UncertaintyGate) -> int:
        return int(gate.consults(outcomes.scores[gate.kind]).sum())

    ordered = sorted(gates, key=consulting)
    best, too_dear = None, None  # the latter skips more than `best`
    for gate in ordered:
        if (best := within(gate)) is not None:
            break
        too_dear = gate
    if best is None or too_dear is None:
        return best
    policy = type(best.gate)
    finer = [policy(threshold=float(cut)) for cut in cuts_of(outcomes.scores[policy.kind])]  # type: ignore[call-arg]
    low, high = consulting(too_dear), consulting(best.gate)
    between = [g for g in sorted(finer, key=consulting) if low < consulting(g) < high]
    limit = None
    first, last = 0, len(between)  # the least that is within lies in between[first:last], if any
    while first < last:
        middle = (first + last) // 2
        choice = within(between[middle])
        if choice is None:
            first = middle + 1
        else:
            limit, last = choice, middle
    if limit is None:
        return best
    wanted = (best.gate.threshold + limit.gate.threshold) / 2
    return within(min(between[last:], key=lambda g: abs(g.threshold - wanted))) or best


def choose(
    outcomes: Outcomes, gates: Sequence[UncertaintyGate], *, max_drop: float, seed: int
) -> list[Choice]:
    """One choice of each policy that has one."""
    by_kind = (
        choose_threshold(
            outcomes, [g for g in gates if g.kind == kind], max_drop=max_drop, seed=seed
        )
        for kind in POLICIES
    )
    return [c for c in by_kind if c is not None]
