"""What experiment 12 learns on validation: a policy for each price, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.config import RunConfig
from safe.experiments.rl_gate_bench import way
from safe.gates.schema import Interval
from safe.gates.statistics import paired_difference, wilson
from safe.models.policy import feature_names
from safe.training.bandit import (
    BanditSettings,
    Evaluation,
    Outcomes,
    PolicyNet,
    distil,
    hold_back,
    train_bandit,
)
from safe.training.offered import HEARING

FLOOR = 0.005  # the plan's: VL accuracy that may be lost against the base
HELD, CHECKED = 0.4, 0.5  # shares: held back of all, and of those, checked and not held by

Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cost:
    """Of questions about sounds, against hearing everything.

    Attributes:
        drop: interval of the accuracy that is lost.
        changed: share that is right in one way and wrong in the other, whichever it is.
    """

    drop: Interval
    changed: float


@dataclass(frozen=True)
class Trained:
    """What came out at one price.

    Attributes:
        evaluations: of the bandit while it learned, and of the linear policy at the end.
        view: what it looks at before it decides, of `safe.models.policy.VIEWS`.
        reward: mean over rows that it did not learn from.
        cost: of listening less than to everything, on rows that it did not learn from; None where
            these cannot tell.
        skip_rate, skips: of those rows, and its interval.
    """

    price: float
    view: str
    student: PolicyNet
    evaluations: Sequence[Evaluation]
    reward: float
    cost: Cost | None
    skip_rate: float
    skips: Interval


def outcomes_of(
    table: Table, actions: Sequence[int], seconds: Mapping[str, float], view: str
) -> Outcomes:
    """The table's rows as the bandit takes them, in one view of them."""
    states = np.array([row["state"] for row in table], dtype=np.float64)
    costs = [seconds[way(view, k)] for k in actions]
    return Outcomes(
        features=states[:, : len(feature_names(width_of(table), view))],
        scores=np.array([[float(row[f"right_{k}"]) for k in actions] for row in table]),
        seconds=np.tile(costs, (len(table), 1)),
        seeing=np.array([row["task"] not in HEARING for row in table]),
        groups=tuple(row["image_source"] or row["source"] for row in table),
    )


def width_of(table: Table) -> int:
    """Of the language model, whose states these rows hold."""
    return (len(table[0]["state"]) - len(feature_names(0))) // 2


@dataclass(frozen=True)
class Parts:
    """Validation: rows to learn from, and the rest, which hold the floor or are looked at."""

    learned: Outcomes
    rest: Outcomes
    held: Outcomes
    checked: Outcomes


def part(everything: Outcomes, seed: int) -> Parts:
    """No two parts share a recording or a picture; the same for all prices."""
    apart = hold_back(everything.groups, HELD, seed)
    rest = everything.take(apart)
    check = hold_back(rest.groups, CHECKED, seed + 1)
    return Parts(everything.take(~apart), rest, rest.take(~check), rest.take(check))


def train(config: RunConfig, parts: Parts, price: float, view: str) -> Trained:
    """A bandit at one price, and the linear policy that does as it does."""
    rest, checked = parts.rest, parts.checked
    settings = BanditSettings(
        price=price, decisions=config.policy.decisions, floor=FLOOR, seed=config.seed
    )
    teacher, looks = train_bandit(parts.learned, parts.held, checked, settings)
    student = distil(teacher, parts.learned.features)
    taken = student.actions(rest.features)
    own = student.actions(checked.features)
    final = Evaluation(
        decisions=settings.decisions,
        reward=checked.reward(own, price),
        vl_drop=checked.vl_drop(own),
        skip_rate=float((own == 0).mean()),
        multiplier=looks[-1].multiplier,
        kept=True,
    )
    return Trained(
        price=price,
        view=view,
        student=student,
        evaluations=[*looks, final],
        reward=rest.reward(taken, price),
        cost=_cost(rest, taken, config.seed),
        skip_rate=float((taken == 0).mean()),
        skips=wilson(int((taken == 0).sum()), len(rest)),
    )


def _cost(outcomes: Outcomes, taken: np.ndarray, seed: int) -> Cost | None:
    rows = np.flatnonzero(~outcomes.seeing)
    everything, scores = outcomes.scores[rows, -1], outcomes.scores[rows, taken[rows]]
    try:
        drop = paired_difference(
            everything,
            scores,
            seed=seed,
            clusters=[outcomes.groups[i] for i in rows],
            identical_outputs=bool((taken[rows] == outcomes.scores.shape[1] - 1).all()),
        )
    except ValueError:
        return None  # it cannot be shown to cost little
    return Cost(drop, float((everything != scores).mean()))


def choose(trained: Sequence[Trained], max_audio_drop: float) -> Trained | None:
    """The policy that skips most of those that are shown to cost little and to hold the floor.

    Of those that skip as much, as far as these rows can tell, it is the one that changes the fewest
    answers: an answer that it gains here it may lose elsewhere.
    """
    allowed = [
        (t, t.cost.changed)
        for t in trained
        if t.cost is not None
        and t.cost.drop.high <= max_audio_drop
        and t.evaluations[-1].vl_drop <= FLOOR
    ]
    if not allowed:
        return None
    enough = max((t for t, _ in allowed), key=lambda t: t.skip_rate).skips.low
    like = [(changed, -t.skip_rate, -t.price, t) for t, changed in allowed if t.skip_rate >= enough]
    return min(like, key=lambda found: found[:3])[3]
