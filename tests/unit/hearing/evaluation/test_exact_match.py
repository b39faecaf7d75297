"""Exact match: any reference counts; case and white space are ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.evaluation.exact_match import fold, item_accuracy


@pytest.mark.parametrize(
    ("answer", "references", "expected"),
    [
        ("yes", ["yes"], 1.0),
        ("  Yes\n", ["yes"], 1.0),
        ("fire  hydrant", ["fire hydrant"], 1.0),
        ("STRASSE", ["straße"], 1.0),
        ("firehydrant", ["fire hydrant"], 0.0),
        ("two", ["2"], 0.0),
        ("yes!", ["yes"], 0.0),
        ("no", ["yes", "no"], 1.0),
        ("", ["yes"], 0.0),
    ],
)
def test_exact_match_by_example(answer, references, expected):
    assert item_accuracy(answer, references) == expected


@given(st.text(), st.lists(st.text(), min_size=1, max_size=4), st.randoms())
def test_order_and_case_do_not_matter(answer, references, random):
    found = item_accuracy(answer, references)
    random.shuffle(references)
    assert item_accuracy(answer.casefold(), references) == found
    assert item_accuracy(references[0], references) == 1
    assert fold(fold(answer)) == fold(answer)


def test_no_reference_is_refused():
    with pytest.raises(ValueError, match="at least one reference"):
        item_accuracy("yes", [])


def test_very_long_answer_is_scored():
    assert item_accuracy("Drum " * 2_000_000, ["drum"]) == 0
