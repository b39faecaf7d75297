"""Learning curves and answer priors: comparison with closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from safe.hearing.evaluation.learning import prior_entropy, same_answer, smooth


@given(st.lists(st.floats(0, 10), min_size=1, max_size=600), st.integers(1, 40))
def test_smoothing_keeps_range_and_step_order(losses, epoch):
    steps, means = smooth(losses, epoch)
    assert steps == sorted(set(steps))
    assert len(steps) == len(means)
    assert min(losses) - 1e-9 <= min(means)
    assert max(means) <= max(losses) + 1e-9


@given(st.integers(1, 900), st.integers(1, 80))
def test_number_of_blocks_is_at_least_25_or_the_number_of_steps(steps, epoch):
    assert len(smooth([0.0] * steps, epoch)[0]) >= min(25, steps)


def test_blocks_of_whole_epochs_show_no_sampling_noise():
    """A loss that depends only on the drawn rows is flat when every block covers every row."""
    losses = [float(step % 8) for step in range(400)]
    steps, means = smooth(losses, 8)
    assert len(steps) == 25
    assert set(means) == {3.5}


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
def test_entropy_without_groups_agrees_with_scipy(answers):
    counts = [answers.count(a) for a in set(answers)]
    assert prior_entropy(["g"] * len(answers), answers) == pytest.approx(entropy(counts))


def test_entropy_is_conditional_on_the_group():
    groups, answers = ["x", "x", "y", "y"], ["a", "b", "c", "c"]
    assert prior_entropy(groups, answers) == pytest.approx(0.5 * math.log(2))
    assert prior_entropy(["x", "y"], ["a", "b"]) == 0


def test_answers_are_compared_without_case_and_white_space():
    assert same_answer(" Yes  sir", "yes sir")
    assert not same_answer("yes", "no")
    assert not same_answer("", "no")
