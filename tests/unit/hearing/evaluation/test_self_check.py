"""The metrics pass their own checks, and a metric that is off does not."""

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


def test_the_closed_form_is_ten_choose_nine_by_hand():
    check = by_name(self_check.run())["VQA accuracy, 3 of ten agree"]
    assert check.expected == pytest.approx(0.9)  # three leave one out: 2/3; seven do not: 1


@pytest.mark.parametrize(
    ("module", "name", "wrong", "seen"),
    [
        (vqa, "item_accuracy", lambda a, r: min(1.0, r.count(a) / 3), "VQA"),
        (retention, "answer_kl", lambda t, s, m: (0.0, np.zeros(1)), "retention KL"),
        (aggregate, "accuracies", lambda rows: {("d", "s", "accuracy"): (1.0, 1)}, "accuracy"),
    ],
)
def test_a_metric_that_is_off_is_seen(monkeypatch, module, name, wrong, seen):
    monkeypatch.setattr(module, name, wrong)
    off = [c.name for c in self_check.run() if c.found is not None and c.deviation > 1e-3]
    assert off
    assert all(seen in found for found in off)


def test_a_number_that_is_not_finite_is_infinitely_off():
    assert self_check.Check("x", float("nan"), 0.0).deviation == float("inf")


def test_a_file_that_is_not_the_published_one_is_named(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"captions\.csv"):
        self_check.run(caption_reference=path)
