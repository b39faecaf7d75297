"""Operating points of gating policies, their Pareto frontier, and the choice of a threshold.

A gate decides for each question separately, so the outcome of every policy follows from one table:
each question's scores, and whether the answers without audio (OFF) and with it (ON) are correct.
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
    """Outcomes of N questions with audio, answered with the gate OFF and ON.

    Attributes:
        ids, sources: ids of the questions and of their recordings or pictures.
        hears: (N,) bool, True for questions that need audio; the others need only the picture.
        scores: policy kind -> (N,) float64.
        off, on: (N,) bool, whether the answer is correct.
        same: (N,) bool, whether both answers have the same tokens.
    """

    ids: tuple[str, ...]
    sources: tuple[str, ...]
    needs_audio: np.ndarray
    scores: Mapping[str, np.ndarray]
    off: np.ndarray
    on: np.ndarray
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Point:
    """Operating point of a policy.

    Attributes:
        vl_consulted: share of the questions without need for audio that have the gate ON.
    """

    kind: str
    threshold: float | None  # None for always_on and always_off
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
    """Compute the operating point of the gate decisions `consult`, (N,) bool."""
    correct, needs_audio = np.where(consult, outcomes.on, outcomes.off), outcomes.needs_audio
    return Point(
        kind=kind,
        threshold=threshold,
        skip_rate=1 - _share(consult),
        accuracy=_share(correct),
        audio_accuracy=_share(correct[needs_audio]),
        vl_accuracy=_share(correct[~needs_audio]),
        vl_consulted=_share(consult[~needs_audio]),
    )


def cuts_of(scores: np.ndarray) -> np.ndarray:
    """Return the midpoints of adjacent distinct scores, ascending; empty if all are equal.

    Midpoints make the decisions robust to rounding.
    """
    values = np.unique(scores)
    return (values[:-1] + values[1:]) / 2


def thresholds(scores: np.ndarray, points: int) -> list[float]:
    """Return up to `points` of the cuts, nearest to evenly spaced quantiles, ascending."""
    cuts = cuts_of(scores)
    if not len(cuts):
        return []
    below = np.unique(scores, return_counts=True)[1].cumsum()[:-1] / len(scores)
    wanted = np.arange(1, points + 1) / (points + 1)
    nearest = np.abs(below[None, :] - wanted[:, None]).argmin(axis=1)
    return [float(cuts[i]) for i in np.unique(nearest)]


def policies(scores: Mapping[str, np.ndarray], points: int) -> list[UncertaintyGate]:
    """Return every policy with thresholds at the quantiles of its scores (`Outcomes.scores`)."""
    return [
        policy(threshold=threshold)  # type: ignore[call-arg]
        for kind, policy in POLICIES.items()
        for threshold in thresholds(scores[kind], points)
    ]


def curve(outcomes: Outcomes, gates: Iterable[UncertaintyGate]) -> list[Point]:
    """Compute the operating points of the gates, then of always_on and always_off."""
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
    """Return the Pareto frontier: skip rate rises and accuracy falls strictly along it."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.skip_rate, -p.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept[::-1]


# -- choice of a threshold ------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A chosen threshold.

    Attributes:
        gate: the policy with the threshold.
        point: its operating point on `outcomes`.
        drop: interval of the loss of audio accuracy compared with always-on, on `outcomes`.
        outcomes: the questions that it was chosen on.
    """

    gate: UncertaintyGate
    point: Point
    drop: Interval
    outcomes: Outcomes


def audio_drop(outcomes: Outcomes, consult: np.ndarray, *, seed: int) -> Interval:
    """Compute a 95 % interval of the loss of accuracy on audio questions, compared with always-on.

    Paired, clustered by source; exactly 0 if all answers have the same tokens.

    Raises:
        ValueError: there are too few sources or too little variation for an interval.
    """
    needs_audio = outcomes.needs_audio
    gated = np.where(consult, outcomes.on, outcomes.off)[needs_audio]
    return paired_difference(
        outcomes.on[needs_audio].astype(float),
        gated.astype(float),
        seed=seed,
        clusters=[s for s, heard in zip(outcomes.sources, needs_audio, strict=True) if heard],
        identical_outputs=bool((consult | outcomes.same)[needs_audio].all()),
    )


def choose_threshold(
    outcomes: Outcomes, gates: Iterable[UncertaintyGate], *, max_drop: float, seed: int
) -> Choice | None:
    """Choose a threshold of one policy with many skips and an upper bound of the drop in limits.

    First, try the given thresholds from the one that skips most. Then find the last cut in limits
    between the best of them and its neighbour that exceeds the limit, by bisection. A threshold at
    the limit would exceed it on other questions half of the time, so take the middle between the
    limit and the best given threshold.
    """

    def within(gate: UncertaintyGate) -> Choice | None:
        consult = gate.consults(outcomes.scores[gate.kind])
        try:
            drop = audio_drop(outcomes, consult, seed=seed)
        except ValueError:
            return None  # the drop cannot be bounded
        if drop.high > max_drop:
            return None
        point = operating_point(outcomes, consult, gate.kind, gate.threshold)
        return Choice(gate, point, drop, outcomes)

    def consulting(gate: UncertaintyGate) -> int:
        return int(gate.consults(outcomes.scores[gate.kind]).sum())

    ordered = sorted(gates, key=consulting)
    best, too_costly = None, None  # `too_costly` skips more than `best`
    for gate in ordered:
        if (best := within(gate)) is not None:
            break
        too_costly = gate
    if best is None or too_costly is None:
        return best
    policy = type(best.gate)
    finer = [policy(threshold=float(cut)) for cut in cuts_of(outcomes.scores[policy.kind])]  # type: ignore[call-arg]
    low, high = consulting(too_costly), consulting(best.gate)
    between = [g for g in sorted(finer, key=consulting) if low < consulting(g) < high]
    limit = None
    first, last = 0, len(between)  # the first one in limits, if any, is in between[first:last]
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
    """Choose a threshold for each policy; policies without a valid threshold are left out."""
    by_kind = (
        choose_threshold(
            outcomes, [g for g in gates if g.kind == kind], max_drop=max_drop, seed=seed
        )
        for kind in POLICIES
    )
    return [c for c in by_kind if c is not None]
