"""Operating points, frontier and choice: comparison with counts and all alternatives."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.hearing.evaluation.gate_curve import (
    Outcomes,
    Point,
    audio_drop,
    choose,
    choose_threshold,
    curve,
    frontier,
    operating_point,
    policies,
    thresholds,
)
from safe.hearing.models.gating import POLICIES, EntropyGate


def make(rng, n=200, *, hearing=0.4, per_source=2):
    """Questions that need audio have higher entropy and are mostly correct ON and wrong OFF."""
    needs_audio = rng.random(n) < hearing
    entropy = rng.uniform(0, 1, n) + 0.5 * needs_audio
    on = np.where(needs_audio, rng.random(n) < 0.9, rng.random(n) < 0.97)
    off = np.where(needs_audio, rng.random(n) < 0.3, rng.random(n) < 0.99)
    return Outcomes(
        ids=tuple(f"q{i}" for i in range(n)),
        sources=tuple(f"s{i // per_source}" for i in range(n)),
        needs_audio=needs_audio,
        scores={
            "entropy": entropy,
            "max_probability": np.exp(-entropy),
            "margin": np.exp(-entropy) * 0.9,
        },
        off=off,
        on=on,
        same=(on == off) & (rng.random(n) < 0.5),
    )


@pytest.fixture(scope="module")
def outcomes():
    return make(np.random.default_rng(0), 2000)


class TestPoints:
    def test_operating_point_agrees_with_a_count(self, outcomes):
        gate = EntropyGate(0.7)
        found = curve(outcomes, [gate])[0]
        right = audio_count = consulted = audio_correct = 0
        for i in range(len(outcomes)):
            consult = outcomes.scores["entropy"][i] > 0.7
            correct = outcomes.on[i] if consult else outcomes.off[i]
            consulted, right = consulted + consult, right + correct
            if outcomes.needs_audio[i]:
                audio_count, audio_correct = audio_count + 1, audio_correct + correct
        n = len(outcomes)
        assert found.skip_rate == pytest.approx(1 - consulted / n)
        assert found.accuracy == pytest.approx(right / n)
        assert found.audio_accuracy == pytest.approx(audio_correct / audio_count)

    def test_curve_contains_always_on_and_always_off(self, outcomes):
        on, off = curve(outcomes, [])
        assert (on.kind, on.skip_rate, on.accuracy) == ("always_on", 0, outcomes.on.mean())
        assert (off.kind, off.skip_rate, off.accuracy) == ("always_off", 1, outcomes.off.mean())
        for gate, end in ((EntropyGate(-1.0), on), (EntropyGate(99.0), off)):
            mine = curve(outcomes, [gate])[0]
            assert dataclasses.replace(mine, kind=end.kind, threshold=None) == end

    def test_missing_kind_of_question_has_no_accuracy(self, outcomes):
        alone = dataclasses.replace(outcomes, needs_audio=np.ones(len(outcomes), dtype=bool))
        assert math.isnan(operating_point(alone, outcomes.on, "x").vl_accuracy)


class TestThresholds:
    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80), st.integers(5, 30))
    def test_thresholds_lie_between_scores_and_ascend(self, scores, points):
        values = np.array(scores, dtype=np.float64)
        found = thresholds(values, points)
        assert len(found) <= points
        assert found == sorted(set(found))
        for threshold in found:
            assert values.min() <= threshold <= values.max()
            assert 0 < (values > threshold).sum() < len(values)

    def test_thresholds_are_quantiles(self):
        values = np.random.default_rng(1).normal(size=10_000)
        found = thresholds(values, 25)
        np.testing.assert_allclose(found, np.quantile(values, np.arange(1, 26) / 26), atol=1e-2)
        shares = [(values < t).mean() for t in found]
        np.testing.assert_allclose(shares, np.arange(1, 26) / 26, atol=1e-4)

    def test_constant_scores_have_no_thresholds(self):
        assert thresholds(np.ones(10), 5) == []


def point(skip, accuracy):
    return Point("entropy", 0.0, skip, accuracy, 0.0, 0.0, 0.0)


SHARES = st.integers(0, 10).map(lambda i: i / 10)


class TestFrontier:
    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.builds(point, SHARES, SHARES), min_size=1, max_size=40))
    def test_frontier_is_monotone_and_not_dominated(self, points):
        found = frontier(points)
        assert found
        assert set(found) <= set(points)
        for one, next_one in pairwise(found):
            assert one.skip_rate < next_one.skip_rate
            assert one.accuracy > next_one.accuracy
        for kept in found:
            assert not any(
                other.skip_rate >= kept.skip_rate
                and other.accuracy >= kept.accuracy
                and (other.skip_rate, other.accuracy) != (kept.skip_rate, kept.accuracy)
                for other in points
            )
        for other in points:  # no undominated point is missing
            assert any(
                k.skip_rate >= other.skip_rate and k.accuracy >= other.accuracy for k in found
            )

    @given(st.permutations([point(0.1, 0.9), point(0.5, 0.8), point(0.5, 0.7), point(0.9, 0.2)]))
    def test_frontier_does_not_depend_on_the_order(self, points):
        assert [(p.skip_rate, p.accuracy) for p in frontier(points)] == [
            (0.1, 0.9),
            (0.5, 0.8),
            (0.9, 0.2),
        ]


class TestDrop:
    def test_drop_is_zero_when_all_audio_questions_consult(self, outcomes):
        drop = audio_drop(outcomes, outcomes.needs_audio, seed=0)
        assert (drop.low, drop.high, drop.method) == (0, 0, "exact equality")

    def test_equal_scores_of_other_answers_are_not_exact_equality(self, outcomes):
        other = dataclasses.replace(
            outcomes, off=outcomes.on, same=np.zeros(len(outcomes), dtype=bool)
        )
        drop = audio_drop(other, np.zeros(len(outcomes), dtype=bool), seed=0)
        assert drop.high > 0

    def test_interval_covers_the_drop_of_always_off(self, outcomes):
        drop = audio_drop(outcomes, np.zeros(len(outcomes), dtype=bool), seed=0)
        lost = (outcomes.on.astype(float) - outcomes.off)[outcomes.needs_audio].mean()
        assert drop.low < lost < drop.high
        assert "cluster" in drop.method


class TestChoice:
    @pytest.mark.parametrize("max_drop", [0.0, 0.01, 0.1, 0.4])
    def test_chosen_threshold_skips_as_much_as_any_qualifying_one(self, outcomes, max_drop):
        gates = [g for g in policies(outcomes.scores, 12) if g.kind == "entropy"]
        found = choose_threshold(outcomes, gates, max_drop=max_drop, seed=0)
        qualifying = []
        for gate in gates:
            consult = gate.consults(outcomes.scores["entropy"])
            if audio_drop(outcomes, consult, seed=0).high <= max_drop:
                qualifying.append((1 - consult.mean(), gate))
        assert (found is None) == (not qualifying)
        if found is not None:
            assert found.point.skip_rate >= max(q[0] for q in qualifying)
            assert found.drop.high <= max_drop
            assert found.outcomes is outcomes

    def test_threshold_is_halfway_to_the_first_audio_question(self):
        """Candidates are 0.5 and 2.5, audio is needed from 2.0: halfway between 0.5 and 2.0."""
        scores = np.linspace(0, 3, 601)
        needs_audio = scores >= 2.0
        names = tuple(map(str, range(len(scores))))
        right = np.ones(len(scores), dtype=bool)
        other = {"max_probability": -scores, "margin": -scores}
        outcomes = Outcomes(
            names,
            names,
            needs_audio,
            {"entropy": scores, **other},
            ~needs_audio,
            right,
            ~needs_audio,
        )
        gates = [EntropyGate(0.5025), EntropyGate(2.5025)]
        found = choose_threshold(outcomes, gates, max_drop=0.0, seed=0)
        assert found.gate.threshold == pytest.approx(1.25, abs=0.01)
        assert found.drop.high == 0

    def test_every_policy_has_at_most_one_choice(self, outcomes):
        found = choose(outcomes, policies(outcomes.scores, 12), max_drop=0.2, seed=0)
        assert sorted(c.gate.kind for c in found) == sorted(POLICIES)
        assert all(c.drop.high <= 0.2 for c in found)

    def test_too_few_questions_give_no_choice(self):
        few = make(np.random.default_rng(0), 12)
        always_off = EntropyGate(99.0)
        assert choose_threshold(few, [always_off], max_drop=1.0, seed=0) is None
