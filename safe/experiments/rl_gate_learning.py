"""What experiment 12 learns on validation: a policy for each price, and which one is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.config import RunConfig
from safe.experiments.rl_gate_bench import way
from safe.gates.schema import Interval
from safe.gates.statistics import paired_difference
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
class Trained:
    """What came out at one price.

    Attributes:
        evaluations: of the bandit while it learned, and of the linear policy at the end.
        view: what it looks at before it decides, of `safe.models.policy.VIEWS`.
        reward: mean over rows that it did not learn from.
        drop: interval of the audio accuracy that it costs against hearing everything, on rows that
            it did not learn from; None where these cannot tell.
    """

    price: float
    view: str
    student: PolicyNet
    evaluations: Sequence[Evaluation]
    reward: float
    drop: Interval | None
    skip_rate: float


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
        drop=_drop(rest, taken, config.seed),
        skip_rate=float((taken == 0).mean()),
    )


def _drop(outcomes: Outcomes, taken: np.ndarray, seed: int) -> Interval | None:
    hears = ~outcomes.seeing
    rows = np.flatnonzero(hears)
    try:
        return paired_difference(
            outcomes.scores[rows, -1],
            outcomes.scores[rows, taken[rows]],
            seed=seed,
            clusters=[outcomes.groups[i] for i in rows],
            identical_outputs=bool((taken[rows] == outcomes.scores.shape[1] - 1).all()),
        )
    except ValueError:
        return None  # it cannot be shown to cost little


def choose(config: RunConfig, trained: Sequence[Trained]) -> Trained | None:
    """The policy that skips most of those that are shown to cost little and to hold the floor.

    Of those that skip as much it is the one that costs least by its bound.
    """
    allowed = [
        (t.skip_rate, -t.drop.high, t.price, t)
        for t in trained
        if t.drop is not None
        and t.drop.high <= config.policy.max_audio_drop
        and t.evaluations[-1].vl_drop <= FLOOR
    ]
    best = max(allowed, key=lambda found: found[:3], default=None)
    return None if best is None else best[3]
