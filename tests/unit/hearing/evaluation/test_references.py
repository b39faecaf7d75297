"""The table of references: strict loading, and comparison by tolerance."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import ConfigError
from safe.hearing.evaluation.references import Reference, applicable, compare, load_references
from tests.paths import ROOT

ROW = {
    "id": "a",
    "model": "world",
    "dataset": "d",
    "split": "test",
    "figure": "accuracy",
    "value": 0.5,
    "tolerance": 0.01,
    "source": "recorded on the day this test was written",
}


def write(path, rows):
    path.write_text(yaml.safe_dump({"references": rows}), encoding="utf-8")
    return path


def test_shipped_references_have_sources_and_tolerances():

    found = load_references(ROOT / "config" / "references.yaml")
    assert {r.model for r in found} >= {"world", "digits", "Salesforce/blip2-opt-2.7b"}
    assert all(r.tolerance < 0.01 for r in found if r.model in ("world", "digits"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tolerance": 0}, "tolerance"),
        ({"source": "somewhere"}, "source"),
        ({"valu": 1}, "did you mean `value`"),
        ({"value": "much"}, "value"),
    ],
)
def test_faulty_row_is_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_references(write(tmp_path / "r.yaml", [ROW | change]))
    assert "r.yaml" in str(caught.value)


def test_duplicate_ids_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="share an id"):
        load_references(write(tmp_path / "r.yaml", [ROW, ROW]))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-3, 1))
def test_ratio_is_the_difference_over_the_tolerance(value, measured, tolerance):
    reference = Reference.model_validate(ROW | {"value": value, "tolerance": tolerance})
    (found,), missing = compare([reference], {("d", "test", "accuracy"): (measured, 9)})
    assert not missing
    assert found.n == 9
    assert (found.ratio <= 1) == (abs(measured - value) / tolerance <= 1)


def test_reference_without_measurement_is_reported_missing():
    reference = Reference.model_validate(ROW)
    assert compare([reference], {}) == ([], [reference])
    assert applicable([reference], ["digits", None]) == []
    assert applicable([reference], ["world"]) == [reference]
