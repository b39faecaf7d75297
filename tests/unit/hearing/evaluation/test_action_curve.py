"""Points of latency and accuracy: values and dominance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.evaluation.action_curve import ActionPoint, action_point, dominates, undominated

GRID = st.integers(0, 4)
POINTS = st.lists(
    st.builds(lambda s, a: ActionPoint("p", None, s / 4, a / 4, 0.0, 0.0, 0.0), GRID, GRID),
    max_size=8,
)


def test_point_is_the_mean_over_the_actions_outcomes():
    scores = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]], dtype=float)
    actions = np.array([0, 1, 2, 0])
    needs_audio = np.array([False, True, True, False])
    point = action_point("learned", 2.0, actions, scores, np.array([1.0, 2.0, 4.0]), needs_audio)
    assert point.seconds == pytest.approx((1 + 2 + 4 + 1) / 4)
    assert (point.accuracy, point.audio_accuracy, point.vl_accuracy) == (1.0, 1.0, 1.0)
    assert point.skip_rate == 0.5
    off = action_point(
        "off", None, np.zeros(4, int), scores, np.array([1.0, 2.0, 4.0]), needs_audio
    )
    assert (off.accuracy, off.audio_accuracy, off.vl_accuracy) == (0.5, 0.0, 1.0)


@given(POINTS, POINTS)
def test_undominated_keeps_exactly_the_points_that_nothing_dominates(points, others):
    kept = undominated(points, others)
    rivals = [*points, *others]
    assert all(not dominates(rival, point) for point in kept for rival in rivals)
    places = [(p.seconds, p.accuracy) for p in kept]
    assert len(set(places)) == len(places)
    for point in points:
        if (point.seconds, point.accuracy) not in places:
            assert any(dominates(rival, point) for rival in rivals)


@given(POINTS)
def test_no_point_dominates_itself_and_dominance_is_one_way(points):
    for one in points:
        assert not dominates(one, one)
        assert not any(dominates(one, two) and dominates(two, one) for two in points)
