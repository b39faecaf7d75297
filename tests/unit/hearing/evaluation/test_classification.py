import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from safe.hearing.evaluation.classification import auroc, expected_calibration_error


def ece_by_hand(confidence, correct, bins):
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(
        (which == b).mean() * abs(correct[which == b].mean() - confidence[which == b].mean())
        for b in range(bins)
        if (which == b).any()
    )


def test_calibration_error_of_two_levels_by_hand():
    confidence = np.repeat([0.65, 0.95], 100)
    correct = np.concatenate([np.arange(100) < 80, np.arange(100) < 90])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.10, abs=1e-12)
    # In one bin, underconfidence of 0.15 and overconfidence of 0.05 partly cancel.
    found = expected_calibration_error(confidence, correct, bins=1)
    assert found == pytest.approx(abs(0.85 - 0.80), abs=1e-12)


def test_confident_and_correct_is_calibrated_and_confident_and_wrong_is_not():
    assert expected_calibration_error([1.0, 1.0, 0.0], [1, 1, 0]) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error([1.0, 1.0], [False, False]) == pytest.approx(1, abs=1e-12)


def test_confidence_of_one_belongs_to_the_last_bin():
    # 0.94 (wrong) and 1.0 (correct) in one bin: |1/2 - 0.97|; in two bins it would be 0.94 / 2.
    found = expected_calibration_error([0.94, 1.0], [0, 1])
    assert found == pytest.approx(0.47, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_calibration_error_agrees_with_the_formula(items, bins):
    confidence = np.array([(c + 0.5) / 10_001 for c, _ in items])  # never on a bin edge
    correct = np.array([is_correct for _, is_correct in items], dtype=float)
    found = expected_calibration_error(confidence, correct, bins)
    assert found == pytest.approx(ece_by_hand(confidence, correct, bins), abs=1e-12)
    assert 0 <= found <= 1
    order = np.random.default_rng(0).permutation(len(items))
    again = expected_calibration_error(confidence[order], correct[order], bins)
    assert again == pytest.approx(found, abs=1e-12)


def test_auroc_by_hand():
    assert auroc([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == 1
    assert auroc([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 0]) == 0
    assert auroc([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1]) == 0.5
    # Pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2.
    assert auroc([1, 2, 2, 3], [False, False, True, True]) == pytest.approx(3.5 / 4, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60))
def test_auroc_agrees_with_mann_whitney_u(items):
    scores = np.array([float(s) for s, _ in items])
    labels = np.array([positive for _, positive in items])
    if labels.all() or not labels.any():
        return
    pairs = labels.sum() * (~labels).sum()
    expected = mannwhitneyu(scores[labels], scores[~labels]).statistic / pairs
    assert auroc(scores, labels) == pytest.approx(expected, abs=2e-7)
    assert auroc(-scores, labels) == pytest.approx(1 - expected, abs=2e-7)
    assert auroc(np.exp(scores), labels) == auroc(scores, labels)


def test_auroc_distinguishes_large_scores():
    assert auroc([100.0, 101.0, 102.0, 103.0], [0, 0, 1, 1]) == 1
    assert auroc([1e300, -1e300, 1e-300, 0.0], [1, 0, 1, 0]) == 1


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [1, 1], "all 2 labels are 1: both classes"),
        ([0.1, 0.2], [False, False], "all 2 labels are 0"),
        ([], [], "scores is empty"),
        ([0.1], [0, 1], "must both have the shape"),
        ([[0.1, 0.2]], [[0, 1]], "must both have the shape"),
        ([0.1, float("nan")], [0, 1], "1 values are not finite"),
        ([0.1, 0.2], [0, 2], "values other than 0 and 1"),
    ],
)
def test_invalid_auroc_input_is_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        auroc(scores, labels)


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "message"),
    [
        ([1.2], [1], 15, "not \\[0, 1\\]"),
        ([-3.0], [1], 15, "not \\[0, 1\\]"),
        ([0.5], [1], 0, "0 bins"),
        ([], [], 15, "confidence is empty"),
        ([float("inf")], [1], 15, "not finite"),
        ([0.5], [0.5], 15, "values other than 0 and 1"),
    ],
)
def test_invalid_calibration_input_is_refused(confidence, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(confidence, correct, bins)


def test_importing_the_module_loads_no_torch():
    script = (
        "import sys; from safe.hearing.evaluation import classification, retention;"
        "print('torch' in sys.modules, 'torchmetrics' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.split() == ["False"] * 2, found.stderr
