"""Policy learning of experiment 12 on validation: one policy per price, and the selection."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.gates.schema import Candidate, Interval
from safe.gates.statistics import paired_difference, wilson
from safe.hearing.config import RunConfig
from safe.hearing.experiments.rl_gate.config import PolicySettings
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
HELD, CHECKED = 0.4, 0.5  # share held back; share of that which is used for evaluation

Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Cost:
    """Loss on audio questions relative to using all audio tokens.

    Attributes:
        drop: interval of the drop in accuracy.
        changed: share of questions whose correctness differs, in either direction.
    """

    drop: Interval
    changed: float


@dataclass(frozen=True)
class TeacherPolicy:
    """A bandit's policy at one price.

    Attributes:
        view: its set of input features, one of `safe.hearing.models.policy.VIEWS`.
        evaluations: of the policy during training.
    """

    price: float
    view: str
    policy: PolicyNet
    evaluations: Sequence[Evaluation]


@dataclass(frozen=True)
class DistilledPolicy:
    """A linear policy over a subset of the actions.

    Attributes:
        actions: columns of the outcomes, one for each of the policy's actions.
    """

    policy: PolicyNet
    actions: tuple[int, ...]

    def taken(self, outcomes: Outcomes) -> np.ndarray:
        """Return (N,) the action for each question, as a column of the outcomes."""
        return np.array(self.actions)[self.policy.actions(outcomes.features)]


@dataclass(frozen=True)
class Trained:
    """Result of training at one price.

    Attributes:
        teacher_policy: the bandit policy that `distilled_policy` imitates.
        final: evaluation of the distilled policy.
        reward: mean over held-back examples.
        cost: of not using all audio tokens, on held-back examples; None if it cannot be estimated
            from them.
        skip_rate, skips: share of held-back examples that are skipped, and its interval.
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
    """Convert the table to the bandit's outcomes, with the features of one view."""
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
    """Width of the language model whose states the table contains."""
    return (len(table[0]["state"]) - len(feature_names(0))) // 2


@dataclass(frozen=True)
class LearningSplit:
    """Validation examples: `learned` for training; `rest` is `held` (VL floor) and `checked`."""

    learned: Outcomes
    rest: Outcomes
    held: Outcomes
    checked: Outcomes


def split_outcomes(everything: Outcomes, seed: int) -> LearningSplit:
    """Split by recording and picture; the split is the same for all prices."""
    apart = hold_back(everything.groups, HELD, seed)
    rest = everything.take(apart)
    check = hold_back(rest.groups, CHECKED, seed + 1)
    return LearningSplit(everything.take(~apart), rest, rest.take(~check), rest.take(check))


def train(config: RunConfig, split: LearningSplit, price: float, view: str) -> Trained:
    """Train a bandit at one price and distill it into a linear policy."""
    settings = BanditSettings(
        price=price, decisions=PolicySettings.of(config).decisions, floor=FLOOR, seed=config.seed
    )
    policy, evaluations = train_bandit(split.learned, split.held, split.checked, settings)
    every = tuple(range(split.rest.scores.shape[1]))
    return _distilled(config, split, TeacherPolicy(price, view, policy, evaluations), every)


def prices_per_second(config: RunConfig, seconds: Mapping[str, float]) -> list[float] | None:
    """Return the prices of the sweep, as reward lost per second of latency.

    Args:
        seconds: measured latency of an answer, by action.

    Returns:
        None if the prices are in units of audio latency and audio adds no measurable latency.
    """
    own = PolicySettings.of(config)
    if own.latency_unit == "second":
        return own.latency_weights
    listening = seconds["always on"] - seconds["always off"]
    return [price / listening for price in own.latency_weights] if listening > 0 else None


def try_views(
    config: RunConfig, splits: Mapping[str, LearningSplit], latency_weights: Sequence[float]
) -> list[Trained]:
    """Train a policy for each view at the middle price."""
    return [
        train(config, rows, latency_weights[len(latency_weights) // 2], view)
        for view, rows in splits.items()
    ]


def in_full(config: RunConfig, split: LearningSplit, trained: Trained) -> Trained:
    """Distill the same bandit into a policy that skips or uses all audio tokens.

    Choosing the number of tokens depends on the time that a short input saves, which may be too
    small to measure. With all tokens, the answers are those of always-on.
    """
    ends = (0, split.rest.scores.shape[1] - 1)
    return _distilled(config, split, trained.teacher_policy, ends)


def _distilled(
    config: RunConfig, split: LearningSplit, teacher_policy: TeacherPolicy, actions: tuple[int, ...]
) -> Trained:
    rest, checked = split.rest, split.checked
    # map an action that the distilled policy lacks to its next longer action
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
            decisions=PolicySettings.of(config).decisions,
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
        return None  # a small cost cannot be shown
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
            note=None
            if t.cost
            else "the audio drop cannot be bounded: too few or too similar questions",
        )
        for name, t in trained.items()
    ]
