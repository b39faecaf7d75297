import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.hearing.evaluation.retention import answer_kl


def two_points(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def logits_of(*probabilities):
    """(1, T, 2), each position a distribution over two tokens."""
    return np.log([[[p, 1 - p] for p in probabilities]])


@pytest.mark.parametrize(("p", "q"), [(0.9, 0.5), (0.2, 0.7), (0.3, 0.3), (1e-6, 0.999999)])
def test_divergence_of_two_point_distributions(p, q):
    found, per_row = answer_kl(logits_of(p), logits_of(q), np.ones((1, 1)))
    assert found == pytest.approx(two_points(p, q), abs=1e-12)
    assert per_row == pytest.approx([found])


def test_divergence_is_kl_from_teacher_to_student():
    forward, _ = answer_kl(logits_of(0.9), logits_of(0.5), np.ones((1, 1)))
    backward, _ = answer_kl(logits_of(0.5), logits_of(0.9), np.ones((1, 1)))
    assert forward == pytest.approx(0.3680642071684971, abs=1e-12)
    assert backward == pytest.approx(0.5108256237659907, abs=1e-12)


def test_mean_is_over_tokens_and_not_over_rows():
    teacher = np.concatenate([logits_of(0.9, 0.8), logits_of(0.5, 0.5)])
    student = np.concatenate([logits_of(0.5, 0.5), logits_of(0.25, 0.9)])
    mask = np.array([[1, 1], [1, 0]])
    a, b, c = two_points(0.9, 0.5), two_points(0.8, 0.5), two_points(0.5, 0.25)
    found, per_row = answer_kl(teacher, student, mask)
    assert found == pytest.approx((a + b + c) / 3, abs=1e-12)
    assert per_row == pytest.approx([(a + b) / 2, c], abs=1e-12)


def test_masked_tokens_are_ignored_and_a_row_without_tokens_is_nan():
    teacher, student = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    teacher[0, 1], student[1] = np.nan, np.inf
    found, per_row = answer_kl(teacher, student, np.array([[True, False], [False, False]]))
    assert found == 0
    assert per_row[0] == 0
    assert np.isnan(per_row[1])


def test_excluded_tokens():
    teacher, student = np.array([[[0.0, 0.0, -np.inf]]]), np.array([[[0.0, 0.0, 0.0]]])
    one = np.ones((1, 1))
    assert answer_kl(teacher, student, one)[0] == pytest.approx(np.log(3 / 2), abs=1e-12)
    assert answer_kl(teacher, teacher, one)[0] == 0
    assert answer_kl(student, teacher, one)[0] == np.inf


def test_divergence_agrees_with_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 5, 50)) * 3
    mask = rng.random((4, 5)) < 0.7
    expected = torch.nn.functional.kl_div(
        torch.from_numpy(student[mask]).log_softmax(-1),
        torch.from_numpy(teacher[mask]).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    assert answer_kl(teacher, student, mask)[0] == pytest.approx(float(expected), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([1e-3, 1.0, 30.0, 800.0]),
)
def test_kl_is_nonnegative_zero_if_equal_and_shift_invariant(seed, rows, tokens, words, scale):
    rng = np.random.default_rng(seed)
    teacher, student = rng.normal(size=(2, rows, tokens, words)) * scale
    mask = np.ones((rows, tokens), dtype=bool)
    found, per_row = answer_kl(teacher, student, mask)
    assert found >= 0
    assert (per_row >= 0).all()
    assert per_row.mean() == pytest.approx(found)  # rows of equal length
    same, same_rows = answer_kl(teacher, teacher.copy(), mask)
    assert same == 0
    assert not same_rows.any()
    shifts = rng.normal(size=(2, rows, tokens, 1)) * 10
    shifted, _ = answer_kl(teacher + shifts[0], student + shifts[1], mask)
    assert shifted == pytest.approx(found, rel=1e-9, abs=1e-9)


def test_small_drift_of_half_precision_logits_is_measured():
    teacher = np.random.default_rng(0).normal(size=(1, 3, 1000)).astype(np.float16)
    student = teacher.copy()
    student[0, 0, 0] += np.float16(0.01)
    found, _ = answer_kl(teacher, student, np.ones((1, 3)))
    assert 0 < found < 1e-6


@pytest.mark.parametrize(
    ("teacher", "student", "mask", "message"),
    [
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 4)), np.ones((1, 2)), r"\(1, 2, 4\)"),
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), np.ones((2, 1)), r"mask \(2, 1\)"),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2), r"should be \(B, T, V\)"),
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), np.zeros((1, 2)), "no answer token"),
        (np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), np.zeros((0, 2)), "no answer token"),
        (np.zeros((1, 2, 3)), np.zeros((1, 2, 3)), np.full((1, 2), 0.5), "0 and 1"),
        (np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)), np.ones((1, 1)), "teacher's logits"),
        (np.zeros((1, 1, 2)), np.full((1, 1, 2), np.inf), np.ones((1, 1)), "student's logits"),
        (np.zeros((1, 1, 2)), np.full((1, 1, 2), -np.inf), np.ones((1, 1)), "student's logits"),
    ],
)
def test_invalid_input_is_refused(teacher, student, mask, message):
    with pytest.raises(ValueError, match=message):
        answer_kl(teacher, student, mask)
