"""Selection among the learned policies from their validation results."""

from dataclasses import replace

import numpy as np
import pytest

from safe.gates.criteria import load_criteria
from safe.gates.schema import Interval
from safe.gates.selection import select
from safe.gates.statistics import wilson
from safe.hearing.config import load_run_config
from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.hearing.experiments.rl_gate.learning import (
    FLOOR,
    Cost,
    DistilledPolicy,
    TeacherPolicy,
    Trained,
    as_candidates,
    in_full,
    prices_per_second,
    split_outcomes,
    train,
)
from safe.hearing.training.bandit import Evaluation, Outcomes, PolicyNet
from tests.paths import ROOT

ROWS = 800
RULE = next(
    rule
    for rule in load_criteria(ROOT / "config/hearing/criteria/12_rl_gate.yaml").selections
    if rule.name == "policy"
)


def trained(price, skipped, drop, share, vl_drop=0.0):
    """A policy with `skipped` skips that changes a share of the answers."""
    policy = PolicyNet(1, 3, 0)
    cost = Cost(Interval(low=drop[0], high=drop[1], method="paired bootstrap"), share)
    return Trained(
        teacher_policy=TeacherPolicy(price, "question", policy, []),
        distilled_policy=DistilledPolicy(policy, (0, 1, 2)),
        final=Evaluation(100, 0.5, vl_drop, skipped / ROWS, 1.0, True),
        reward=0.5,
        cost=cost,
        skip_rate=skipped / ROWS,
        skips=wilson(skipped, ROWS),
    )


def choose(policies):
    """The policy that the criteria select at miniature scale."""
    named = {str(number): policy for number, policy in enumerate(policies)}
    found = select(RULE, as_candidates(named), "miniature").selected
    return None if found is None else named[found]


def test_apparent_gain_from_skipping_is_not_selected():
    apparent_gain = trained(20, 330, (-0.0175, -0.002), 0.02)
    no_change = trained(40, 330, (0.0, 0.0), 0.0)
    assert choose([apparent_gain, no_change]) is no_change
    assert choose([no_change, apparent_gain]) is no_change


def test_selects_the_lowest_drop_among_policies_with_similar_skips():
    most = trained(60, 330, (0.0, 0.01), 0.02)
    as_much = trained(40, 325, (0.0, 0.005), 0.01)
    fewer = trained(20, 250, (0.0, 0.0), 0.0)
    assert choose([fewer, as_much, most]) is as_much
    assert choose([fewer, most]) is most
    assert choose([fewer]) is fewer


def test_ties_are_broken_by_skips_and_then_by_latency_weight():
    first, second = (trained(price, 330, (0.0, 0.005), 0.01) for price in (20, 40))
    more = trained(10, 335, (0.0, 0.005), 0.01)
    assert choose([first, second]) is second
    assert choose([first, more, second]) is more


def test_policies_that_lose_too_much_or_lack_a_cost_are_not_selected():
    costly = trained(60, 700, (0.01, 0.03), 0.05)
    forgetful = trained(60, 700, (0.0, 0.0), 0.0, vl_drop=2 * FLOOR)
    without_cost = replace(trained(60, 700, (0.0, 0.0), 0.0), cost=None)
    good = trained(20, 250, (0.0, 0.01), 0.02)
    assert choose([costly, forgetful, without_cost, good]) is good
    assert choose([costly, forgetful, without_cost]) is None


def test_full_length_policy_that_changes_no_answer_is_selected():
    short = trained(60, 335, (-0.01, 0.01), 0.0)
    full = trained(60, 330, (0.0, 0.0), 0.0)
    assert choose([short, full]) is full
    assert choose([full, short]) is full


@pytest.fixture(scope="module")
def split():
    """VL questions need no audio; short and long audio are equally accurate, short is faster."""
    rng = np.random.default_rng(0)
    vl_examples = rng.random(ROWS) < 0.5
    correct = ~vl_examples[:, None] * np.array([0.0, 1.0, 1.0]) + vl_examples[:, None]
    outcomes = Outcomes(
        features=np.where(vl_examples, 1.0, -1.0)[:, None] + 0.1 * rng.standard_normal((ROWS, 1)),
        scores=correct,
        seconds=np.tile([0.004, 0.006, 0.010], (ROWS, 1)),
        vl_examples=vl_examples,
        groups=tuple(str(i) for i in range(ROWS)),
    )
    return split_outcomes(outcomes, seed=0)


def test_in_full_uses_audio_for_the_same_questions_and_loses_nothing(split):
    config = load_run_config(ROOT / "config" / "config.yaml")
    short = train(config, split, 60.0, "question")
    actions = short.distilled_policy.taken(split.rest)
    assert 1 in actions
    assert short.cost.drop.high > 0  # unknown from so few questions
    full = in_full(config, split, short)
    assert full.distilled_policy.actions == (0, 2)
    assert (full.distilled_policy.taken(split.rest) == np.where(actions == 0, 0, 2)).all()
    assert full.cost.drop.low == full.cost.drop.high == 0
    assert full.skip_rate == short.skip_rate
    assert full.reward < short.reward
    assert choose([short, full]) is full


@pytest.mark.parametrize(
    ("added", "latency_weights"), [(0.02, [0.0, 50.0, 100.0]), (0.005, [0, 200, 400])]
)
def test_latency_weights_in_units_of_listening_scale_with_the_machine(added, latency_weights):
    policy = PolicySettings(latency_weights=[0.0, 1.0, 2.0], latency_unit="listening")
    config = load_run_config(ROOT / "config" / "config.yaml")
    config = config.model_copy(update={"policy": policy})
    seconds = {"always off": 0.01, "always on": 0.01 + added, "question 8": 7.0}
    assert prices_per_second(config, seconds) == pytest.approx(latency_weights)
    assert prices_per_second(config, seconds | {"always on": 0.01}) is None
    in_seconds = config.model_copy(
        update={"policy": PolicySettings(latency_weights=[0.0, 1.0, 2.0])}
    )
    assert prices_per_second(in_seconds, seconds) == [0.0, 1.0, 2.0]
