"""What experiment 12 learns on validation: a policy for each price, and which one is taken."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.gates.schema import Candidate, Interval
from safe.gates.statistics import paired_difference, wilson
from safe.hearing.config import RunConfig
from safe.hearing.experiments.rl_gate.evaluator import timing_key
from safe.hearing.models.policy import feature_names
from safe.hearing.training.bandit import (
    BanditSettings,
    Evaluation,
    Outcomes,
    PolicyNet,
    distil,
    hold_back,
    train_bandit,
)
from safe.hearing.training.gating_eval_set import HEARING

FLOOR = 0.005  # loss of VL accuracy at which training penalizes a policy; the plan's constraint
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
class TeacherPolicy:
    """A bandit's policy at one price.

    Attributes:
        view: what it looks at before it decides, of `safe.hearing.models.policy.VIEWS`.
        looks: at the policy while it learned.
    """

    price: float
    view: str
    policy: PolicyNet
    evaluations: Sequence[Evaluation]


@dataclass(frozen=True)
class DistilledPolicy:
    """A linear policy over some of the ways to answer.

    Attributes:
        ways: columns of the outcomes, one for each of the policy's actions.
    """

    policy: PolicyNet
    actions: tuple[int, ...]

    def taken(self, outcomes: Outcomes) -> np.ndarray:
        """(N,) the way in which each question is answered, a column of the outcomes."""
        return np.array(self.actions)[self.policy.actions(outcomes.features)]


@dataclass(frozen=True)
class Trained:
    """What came out at one price.

    Attributes:
        taught: what the student does as.
        final: a look at the student.
        reward: mean over rows that it did not learn from.
        cost: of listening less than to everything, on rows that it did not learn from; None where
            these cannot tell.
        skip_rate, skips: of those rows, and its interval.
    """

    teacher_policy: TeacherPolicy
    distilled_policy: DistilledPolicy
    final: Evaluation
    reward: float
    cost: Cost | None
    skip_rate: float
    skips: Interval


def outcomes_of(
    table: Table, actions: Sequence[int], seconds: Mapping[str, float], view: str
) -> Outcomes:
    """The table's rows as the bandit takes them, in one view of them."""
    states = np.array([row["state"] for row in table], dtype=np.float64)
    costs = [seconds[timing_key(view, k)] for k in actions]
    return Outcomes(
        features=states[:, : len(feature_names(width_of(table), view))],
        scores=np.array([[float(row[f"right_{k}"]) for k in actions] for row in table]),
        seconds=np.tile(costs, (len(table), 1)),
        vl_examples=np.array([row["task"] not in HEARING for row in table]),
        groups=tuple(row["image_source"] or row["source"] for row in table),
    )


def width_of(table: Table) -> int:
    """Of the language model, whose states these rows hold."""
    return (len(table[0]["state"]) - len(feature_names(0))) // 2


@dataclass(frozen=True)
class LearningSplit:
    """Validation: rows to learn from, and the rest, which hold the floor or are looked at."""

    learned: Outcomes
    rest: Outcomes
    held: Outcomes
    checked: Outcomes


def split_outcomes(everything: Outcomes, seed: int) -> LearningSplit:
    """No two of them share a recording or a picture; the same for all prices."""
    apart = hold_back(everything.groups, HELD, seed)
    rest = everything.take(apart)
    check = hold_back(rest.groups, CHECKED, seed + 1)
    return LearningSplit(everything.take(~apart), rest, rest.take(~check), rest.take(check))


def train(config: RunConfig, split: LearningSplit, price: float, view: str) -> Trained:
    """A bandit at one price, and the linear policy that does as it does."""
    settings = BanditSettings(
        price=price, decisions=config.policy.decisions, floor=FLOOR, seed=config.seed
    )
    policy, evaluations = train_bandit(split.learned, split.held, split.checked, settings)
    every = tuple(range(split.rest.scores.shape[1]))
    return _distilled(config, split, TeacherPolicy(price, view, policy, evaluations), every)


def prices_per_second(config: RunConfig, seconds: Mapping[str, float]) -> list[float] | None:
    """The prices of the sweep, as reward lost per second of answering.

    Args:
        seconds: measured time of an answer, by action.

    Returns:
        None if the prices are in units of listening and listening takes no measurable time.
    """
    own = config.policy
    if own.latency_unit == "second":
        return own.latency_weights
    listening = seconds["always on"] - seconds["always off"]
    return [price / listening for price in own.latency_weights] if listening > 0 else None


def try_views(
    config: RunConfig, splits: Mapping[str, LearningSplit], latency_weights: Sequence[float]
) -> list[Trained]:
    """A policy for each view, at the price in the middle."""
    return [
        train(config, rows, latency_weights[len(latency_weights) // 2], view)
        for view, rows in splits.items()
    ]


def in_full(config: RunConfig, split: LearningSplit, trained: Trained) -> Trained:
    """The same policy, but what it listens to is heard in full.

    How long to listen hangs on what a short listening saves, which may be less than the clock can
    tell; what is heard in full is answered as by hearing everything.
    """
    ends = (0, split.rest.scores.shape[1] - 1)
    return _distilled(config, split, trained.teacher_policy, ends)


def _distilled(
    config: RunConfig, split: LearningSplit, teacher_policy: TeacherPolicy, actions: tuple[int, ...]
) -> Trained:
    rest, checked = split.rest, split.checked
    # a way that the student has not becomes the next one that listens longer
    into = [bisect_left(actions, action) for action in range(rest.scores.shape[1])]
    distilled_policy = DistilledPolicy(
        distil(teacher_policy.policy, split.learned.features, into), actions
    )
    here, own = distilled_policy.taken(rest), distilled_policy.taken(checked)
    skipped = int((here == 0).sum())
    return Trained(
        teacher_policy=teacher_policy,
        distilled_policy=distilled_policy,
        final=Evaluation(
            decisions=config.policy.decisions,
            reward=checked.reward(own, teacher_policy.price),
            vl_drop=checked.vl_drop(own),
            skip_rate=float((own == 0).mean()),
            multiplier=teacher_policy.evaluations[-1].multiplier,
            kept=True,
        ),
        reward=rest.reward(here, teacher_policy.price),
        cost=_cost(rest, here, config.seed),
        skip_rate=skipped / len(rest),
        skips=wilson(skipped, len(rest)),
    )


def _cost(outcomes: Outcomes, taken: np.ndarray, seed: int) -> Cost | None:
    rows = np.flatnonzero(~outcomes.vl_examples)
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


def as_candidates(trained: Mapping[str, Trained]) -> list[Candidate]:
    """The policies, for the judge to select one."""
    return [
        Candidate(
            name=name,
            values={
                "audio_drop_high": t.cost.drop.high if t.cost else None,
                "vl_drop": t.final.vl_drop,
                "skip_rate": t.skip_rate,
                "skip_rate_low": t.skips.low,
                "changed": t.cost.changed if t.cost else None,
                "price": t.teacher_policy.price,
            },
            note=None if t.cost else "too few questions, or too alike, to bound the audio drop",
        )
        for name, t in trained.items()
    ]
