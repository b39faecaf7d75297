"""Policies over numbers of audio tokens as points of mean latency and accuracy, and dominance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ActionPoint:
    """Latency and accuracy of a policy on a set of questions.

    Attributes:
        kind: kind of the policy; `setting` is its threshold or price, or None.
        seconds: mean latency.
        accuracy: over all questions; `audio_accuracy` over those that need audio, `vl_accuracy`
            over the others.
        skip_rate: share of questions with action 0.
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
    needs_audio: np.ndarray,
) -> ActionPoint:
    """Evaluate `actions`.

    Args:
        actions: (N,) columns of `scores`; 0 skips.
        scores: (N, A), 1 where the answer is correct.
        seconds: (A,), latency of each action.
        hears: (N,) bool, True for questions that need audio.
    """
    correct = scores[np.arange(len(actions)), actions]

    def share(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else float("nan")

    return ActionPoint(
        kind=kind,
        setting=setting,
        seconds=float(seconds[actions].mean()),
        accuracy=share(correct),
        audio_accuracy=share(correct[needs_audio]),
        vl_accuracy=share(correct[~needs_audio]),
        skip_rate=float((actions == 0).mean()),
    )


def dominates(one: ActionPoint, other: ActionPoint) -> bool:
    """Return True if `one` is neither slower nor less accurate, and better in at least one."""
    return (
        one.seconds <= other.seconds
        and one.accuracy >= other.accuracy
        and (one.seconds < other.seconds or one.accuracy > other.accuracy)
    )


def undominated(points: Sequence[ActionPoint], others: Iterable[ActionPoint]) -> list[ActionPoint]:
    """Return the `points` that no point in `points` or `others` dominates, without duplicates."""
    rivals = [*others, *points]
    kept: list[ActionPoint] = []
    places: set[tuple[float, float]] = set()
    for point in sorted(points, key=lambda p: (p.seconds, -p.accuracy)):
        place = (point.seconds, point.accuracy)
        if place not in places and not any(dominates(rival, point) for rival in rivals):
            kept.append(point)
            places.add(place)
    return kept
