"""Self-checks of the metrics pass, and fail for a faulty metric."""

import numpy as np
import pytest

from safe.errors import DataError
from safe.hearing.evaluation import aggregate, retention, self_check, vqa


def by_name(checks):
    return {check.name: check for check in checks}


def test_every_metric_agrees_with_its_source():
    checks = self_check.run()
    assert len(checks) > 30
    assert max(c.deviation for c in checks if c.found is not None) < 1e-6
    unavailable = [c for c in checks if c.found is None]
    assert all(c.reason for c in unavailable)


def test_closed_form_of_three_in_ten_is_0_9():
    check = by_name(self_check.run())["VQA accuracy, 3 of ten agree"]
    assert check.expected == pytest.approx(0.9)  # three leave-one-out terms are 2/3, seven are 1


@pytest.mark.parametrize(
    ("module", "name", "wrong", "seen"),
    [
        (vqa, "item_accuracy", lambda a, r: min(1.0, r.count(a) / 3), "VQA"),
        (retention, "answer_kl", lambda t, s, m: (0.0, np.zeros(1)), "retention KL"),
        (aggregate, "accuracies", lambda rows: {("d", "s", "accuracy"): (1.0, 1)}, "accuracy"),
    ],
)
def test_faulty_metric_fails_its_check(monkeypatch, module, name, wrong, seen):
    monkeypatch.setattr(module, name, wrong)
    off = [c.name for c in self_check.run() if c.found is not None and c.deviation > 1e-3]
    assert off
    assert all(seen in found for found in off)


def test_non_finite_value_has_infinite_deviation():
    assert self_check.Check("x", float("nan"), 0.0).deviation == float("inf")


def test_file_other_than_the_published_one_is_named(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"captions\.csv"):
        self_check.run(caption_reference=path)
