"""VQA accuracy: comparison with a plain port of the official loop, and edge cases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import DataError
from safe.hearing.evaluation import vqa
from tests.unit.hearing.evaluation import plain_vqa

MARKS = "".join(plain_vqa.MARKS)
WORDS = st.sampled_from(
    [
        *plain_vqa.CONTRACTIONS,
        *plain_vqa.CONTRACTIONS.values(),
        *plain_vqa.NUMBERS,
        *("a", "An", "THE", "the", "yes", "No", "None", "Ten", "İ", "straße", "٣", "2½"),
        *("1,000", "2.5", ".5", "5.", "e.g.", "u.s.a", "...", "a.b.c" * 20, "3,", ",3", "x,y"),
    ]
)
PIECES = st.one_of(WORDS, st.text(MARKS + ".' \t\n0123456789aAt", max_size=6), st.text(max_size=4))
ANSWERS = st.builds(
    lambda pieces, between: between.join(pieces),
    st.lists(PIECES, max_size=6),
    st.sampled_from([" ", "", "  ", "\n", "\t", " - ", ", ", "\u2003"]),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(ANSWERS, min_size=40, max_size=40))
def test_normalisation_agrees_with_the_plain_port_on_ten_thousand_answers(answers):
    assert [vqa.normalise(a) for a in answers] == [plain_vqa.process(a) for a in answers]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_accuracy_agrees_with_the_plain_port_and_ignores_the_order_of_humans(data):
    few = data.draw(st.lists(ANSWERS, min_size=1, max_size=4))
    humans = data.draw(st.lists(st.sampled_from(few), min_size=10, max_size=10))
    answer = data.draw(st.one_of(st.sampled_from(few), ANSWERS))
    found = vqa.item_accuracy(answer, humans)
    assert found == pytest.approx(plain_vqa.accuracy(answer, humans), abs=1e-12)
    assert vqa.item_accuracy(answer, data.draw(st.permutations(humans))) == found


def test_every_contraction_is_restored_as_in_the_official_table():
    for written, wanted in plain_vqa.CONTRACTIONS.items():
        if written == written.lower():  # answers are lower case, so other entries never apply
            assert vqa.normalise(written) == wanted
    assert vqa.normalise("Im") == "im"


@pytest.mark.parametrize(
    ("agree", "wanted"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (5, 1), (9, 1), (10, 1)]
)
def test_accuracy_by_number_of_agreeing_humans(agree, wanted):
    humans = ["yes"] * agree + ["no"] * (10 - agree)
    assert vqa.item_accuracy("yes", humans) == pytest.approx(wanted, abs=1e-12)


def test_no_normalisation_when_the_ten_humans_agree():
    assert vqa.item_accuracy("Yes!", ["yes"] * 10) == 0
    assert vqa.item_accuracy(" yes\n", ["yes"] * 10) == 1
    assert vqa.item_accuracy("Yes!", ["yes"] * 9 + ["no"]) == 1
    assert vqa.item_accuracy("the cat", ["the cat"] * 10) == 1


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("1,000", "1000"),
        ("black,white", "black white"),
        ("black, white", "black white"),
        ("well-known", "well known"),
        ("stop - go", "stop go"),
        ("mt. everest", "mt everest"),
        ("3.5", "3.5"),
        ("." * 40 + "x", "." * 8 + "x"),
        ("None", "0"),
        ("the a an", ""),
        ("", ""),
    ],
)
def test_normalisation_by_example(answer, wanted):
    assert vqa.normalise(answer) == wanted
    assert plain_vqa.process(answer) == wanted


def test_empty_answer_is_scored_as_given():
    assert vqa.item_accuracy("", ["yes"] * 9 + ["no"]) == 0
    assert vqa.item_accuracy("", ["the"] * 9 + ["no"]) == 1


@pytest.mark.parametrize("count", [0, 1, 9, 11])
def test_number_of_humans_other_than_ten_is_refused(count):
    with pytest.raises(DataError, match=f"needs 10 human answers, not {count}"):
        vqa.item_accuracy("yes", ["yes"] * count)


def test_very_long_answer_is_scored_and_not_cached():
    """With ten million characters, quadratic time would not finish."""
    before = vqa._cached_normalise.cache_info().currsize
    assert vqa.item_accuracy("don't, stop! 1.5 " * 600_000, ["yes"] * 9 + ["no"]) == 0
    assert vqa._cached_normalise.cache_info().currsize <= before + 2
