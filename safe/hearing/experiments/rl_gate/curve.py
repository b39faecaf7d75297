"""The policies of experiment 12 and the gates of 05, as points of a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from safe.hearing.config import RunConfig
from safe.hearing.evaluation.action_curve import ActionPoint, action_point
from safe.hearing.evaluation.gate_curve import policies
from safe.hearing.experiments.gating.config import GatingSettings
from safe.hearing.experiments.rl_gate.evaluator import HEURISTIC, timing_key
from safe.hearing.experiments.rl_gate.learning import Table, Trained
from safe.hearing.models.gating import POLICIES
from safe.hearing.training.bandit import Outcomes
from safe.hearing.training.gating_eval_set import HEARING


def point(kind: str, outcomes: Outcomes, trained: Trained) -> ActionPoint:
    """Accuracy and latency of a policy on these questions, using its view's timings."""
    return action_point(
        kind,
        trained.teacher_policy.price,
        trained.distilled_policy.taken(outcomes),
        outcomes.scores,
        outcomes.seconds[0],  # the same for every question
        ~outcomes.vl_examples,
    )


def heuristics(
    config: RunConfig,
    validation: Table,
    test: Table,
    actions: Sequence[int],
    seconds: Mapping[str, float],
) -> list[ActionPoint]:
    """The gates of 05 at thresholds from validation, always-off and always-on."""
    ends = (0, actions[-1])
    scores = np.array([[float(row[f"right_{k}"]) for k in ends] for row in test])
    needs_audio = np.array([row["task"] in HEARING for row in test])
    costs = np.array([seconds[timing_key(HEURISTIC, k)] for k in ends])
    found = []
    known, here = (
        {kind: np.array([row[kind] for row in table]) for kind in POLICIES}
        for table in (validation, test)
    )
    for gate in policies(known, GatingSettings.of(config).points):
        taken = gate.consults(here[gate.kind]).astype(int)
        found.append(action_point(gate.kind, gate.threshold, taken, scores, costs, needs_audio))
    plain = np.array([seconds["always off"], seconds["always on"]])
    for kind, action in (("always_off", 0), ("always_on", 1)):
        taken = np.full(len(test), action)
        found.append(action_point(kind, None, taken, scores, plain, needs_audio))
    return found
