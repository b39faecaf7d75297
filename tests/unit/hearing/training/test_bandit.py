"""The bandit on made-up outcomes whose best policy is known."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ConfigError, DataError
from safe.hearing.training.bandit import (
    BanditSettings,
    Outcomes,
    PolicyNet,
    distil,
    hold_back,
    train_bandit,
)

SETTINGS = BanditSettings(price=0.5, decisions=20_000)
COSTS = (0.1, 0.3, 0.5)  # seconds of skip, few tokens, many tokens


def make(seed: int = 0, items: int = 1200, harm: float = 0.0) -> Outcomes:
    """Thirds: pictures (known), sounds that few tokens tell, and sounds that need many.

    The first feature tells pictures from sounds, the second easy from hard ones; `harm` is how
    often hearing spoils the answer about a picture.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, items)
    scores = np.zeros((items, 3))
    scores[kind == 0] = 1
    spoiled = (kind == 0) & (rng.random(items) < harm)
    scores[spoiled, 1:] = 0
    scores[kind == 1, 1:] = 1
    scores[kind == 2, 2] = 1
    features = np.stack([(kind == 0) * 2.0, (kind == 2) * 3.0], axis=1)
    features += rng.normal(0, 0.1, features.shape)
    return Outcomes(
        features=features,
        scores=scores,
        seconds=np.tile(COSTS, (items, 1)) + rng.uniform(0, 0.01, (items, 1)),
        vl_examples=kind == 0,
        groups=tuple(f"g{i // 2}" for i in range(items)),
    )


def parted(outcomes: Outcomes) -> tuple[Outcomes, Outcomes, Outcomes]:
    apart = hold_back(outcomes.groups, 0.5, seed=0)
    rest = outcomes.take(apart)
    held = hold_back(rest.groups, 0.5, seed=1)
    return outcomes.take(~apart), rest.take(held), rest.take(~held)


def test_it_learns_the_best_action_of_each_kind():
    policy, history = train_bandit(*parted(make()), SETTINGS)
    fresh = make(seed=1)
    wanted = np.where(fresh.vl_examples, 0, np.where(fresh.features[:, 1] > 1.5, 2, 1))
    assert (policy.actions(fresh.features) == wanted).mean() > 0.97
    assert history[-1].decisions == SETTINGS.decisions
    checked = parted(make())[2]
    best = (checked.scores - SETTINGS.price * checked.seconds).max(axis=1).mean()
    assert history[-1].reward == pytest.approx(best, abs=0.02)


def test_a_price_that_is_too_high_skips_everything():
    policy, _ = train_bandit(*parted(make()), dataclasses.replace(SETTINGS, price=10.0))
    assert (policy.actions(make(seed=1).features) == 0).mean() > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_near_the_break_even_price_it_still_listens_to_what_pays(seed):
    """One kind of sound gains 0.9 of an answer, the other 0.5, and listening costs 0.85.

    With the batch's mean as baseline, seed 0 decided a fifth of the questions wrongly.
    """
    rng = np.random.default_rng(7)
    kind = rng.integers(0, 3, 1200)
    guessed = rng.random(1200) < np.array([1.0, 0.1, 0.5])[kind]
    features = np.eye(3)[kind] + rng.normal(0, 0.1, (1200, 3))
    made = Outcomes(
        features=features,
        scores=np.stack([guessed, np.ones(1200)], axis=1),
        seconds=np.tile((0.0, 1.0), (1200, 1)),
        vl_examples=kind == 0,
        groups=tuple(map(str, range(1200))),
    )
    near = BanditSettings(price=0.85, decisions=50_000, seed=seed)
    policy, _ = train_bandit(*parted(made), near)
    assert (policy.actions(features) == (kind == 1)).mean() > 0.97


def test_without_a_price_it_hears_all_that_helps():
    policy, _ = train_bandit(*parted(make()), dataclasses.replace(SETTINGS, price=0.0))
    fresh = make(seed=1)
    right = fresh.scores[np.arange(len(fresh)), policy.actions(fresh.features)]
    assert right.mean() > 0.97


@pytest.mark.parametrize("harm", [0.02, 0.3])
def test_the_floor_is_held_at_every_evaluation(harm):
    """Features that do not tell pictures from sounds: hearing everything would break the floor."""
    made = make(harm=harm)
    blind = dataclasses.replace(made, features=made.features[:, 1:])
    policy, history = train_bandit(*parted(blind), SETTINGS)
    assert len(history) >= 10
    held, checked = parted(blind)[1:]
    assert held.vl_drop(policy.actions(held.features)) <= SETTINGS.floor * SETTINGS.reserve
    if harm > 0.1:  # so rare a harm may stay under the floor on the rows that enforce it
        assert all(e.vl_drop <= SETTINGS.floor for e in history)
        assert not all(e.kept for e in history)
    assert history[-1].vl_drop == checked.vl_drop(policy.actions(checked.features))


def test_the_same_seed_gives_the_same_policy():
    one, other = (train_bandit(*parted(make()), SETTINGS)[0] for _ in range(2))
    states = [list(p.state_dict().values()) for p in (one, other)]
    assert all((a == b).all() for a, b in zip(*states, strict=True))


def test_the_student_does_as_its_teacher():
    learned = parted(make())[0]
    teacher, _ = train_bandit(*parted(make()), SETTINGS)
    student = distil(teacher, learned.features, (0, 1, 2))
    assert sum(w.numel() for w in student.net.parameters()) == 3 * (2 + 1)
    fresh = make(seed=1)
    wanted = teacher.actions(fresh.features)
    assert (student.actions(fresh.features) == wanted).mean() > 0.95
    two = distil(teacher, learned.features, (0, 1, 1))
    assert two.net[0].out_features == 2
    assert (two.actions(fresh.features) == wanted.clip(max=1)).mean() > 0.95


def test_actions_that_become_one_are_as_likely_as_they_are_together():
    teacher = PolicyNet(1, 3, hidden=0)
    with torch.no_grad():
        teacher.net[0].weight.zero_()
        teacher.net[0].bias.copy_(torch.tensor([0.4, 0.2, 0.4]).log())
    features = np.linspace(-1, 1, 50)[:, None]
    for into, likely in (((0, 1, 1), [0.4, 0.6]), ((0, 0, 1), [0.6, 0.4])):
        student = distil(teacher, features, into)
        found = student(torch.from_numpy(features)).softmax(dim=1).mean(dim=0)
        assert found.tolist() == pytest.approx(likely, abs=0.01)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60).filter(
        lambda keys: len(set(keys)) > 1
    ),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_groups_are_held_back_whole(groups, share, seed):
    held = hold_back(groups, share, seed)
    mine = {g for g, h in zip(groups, held, strict=True) if h}
    others = {g for g, h in zip(groups, held, strict=True) if not h}
    assert mine
    assert others
    assert not mine & others


def test_what_is_learned_from_is_not_held_back():
    made = make()
    learned, held, checked = parted(made)
    for rows in ((learned, learned, checked), (learned, held, held), (checked, held, checked)):
        with pytest.raises(DataError, match="are in two of"):
            train_bandit(*rows, SETTINGS)
    with pytest.raises(DataError, match="cannot be split"):
        hold_back(["a", "a"], 0.5, 0)


@pytest.mark.parametrize("price", [-0.1, float("nan"), float("inf")])
def test_a_price_is_no_reward_for_waiting(price):
    with pytest.raises(ConfigError, match="must be finite and at least 0"):
        BanditSettings(price=price)


def test_outcomes_of_other_items_or_without_numbers_are_refused():
    made = make()
    with pytest.raises(DataError, match="different lengths"):
        dataclasses.replace(made, features=made.features[:-1])
    broken = made.features.copy()
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="features of the outcomes"):
        dataclasses.replace(made, features=broken)
    deaf = dataclasses.replace(made, vl_examples=np.zeros(len(made), dtype=bool))
    with pytest.raises(DataError, match="no VL questions"):
        deaf.vl_drop(np.zeros(len(made), dtype=int))
