"""Policies over ways to listen as points of mean seconds and accuracy, and who dominates whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ActionPoint:
    """What a policy gives on some questions.

    Attributes:
        kind: of the policy; `setting` is its threshold or price, None where it has none.
        seconds: mean over the questions.
        accuracy: over all of them; `audio_accuracy` over those that need their sound.
    """

    kind: str
    setting: float | None
    seconds: float
    accuracy: float
    audio_accuracy: float
    vl_accuracy: float
    skip_rate: float


def action_point(
    kind: str,
    setting: float | None,
    actions: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    hears: np.ndarray,
) -> ActionPoint:
    """The point of taking `actions`.

    Args:
        actions: (N,) columns of `scores`; 0 skips.
        scores: (N, A), 1 where the answer is right.
        seconds: (A,), of each action.
        hears: (N,) bool, the question needs its sound.
    """
    right = scores[np.arange(len(actions)), actions]

    def share(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return ActionPoint(
        kind=kind,
        setting=setting,
        seconds=float(seconds[actions].mean()),
        accuracy=share(right),
        audio_accuracy=share(right[hears]),
        vl_accuracy=share(right[~hears]),
        skip_rate=float((actions == 0).mean()),
    )


def dominates(one: ActionPoint, other: ActionPoint) -> bool:
    """Whether `one` is neither slower nor less accurate, and better in one of the two."""
    return (
        one.seconds <= other.seconds
        and one.accuracy >= other.accuracy
        and (one.seconds < other.seconds or one.accuracy > other.accuracy)
    )


def undominated(points: Sequence[ActionPoint], others: Iterable[ActionPoint]) -> list[ActionPoint]:
    """Those of `points` that nothing in `others` nor among themselves dominates, each once."""
    rivals = [*others, *points]
    kept: list[ActionPoint] = []
    places: set[tuple[float, float]] = set()
    for point in sorted(points, key=lambda p: (p.seconds, -p.accuracy)):
        place = (point.seconds, point.accuracy)
        if place not in places and not any(dominates(rival, point) for rival in rivals):
            kept.append(point)
            places.add(place)
    return kept
