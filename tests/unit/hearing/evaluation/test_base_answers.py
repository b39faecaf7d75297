"""Answers of the base from two experiments are compared up to the shorter generation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import EvidenceError
from safe.hearing.evaluation.base_answers import differing, read_base_answers
from safe.pipeline.job_results import write_rows

TOKENS = st.lists(st.integers(0, 3), max_size=4)


@given(recorded=st.dictionaries(st.sampled_from("abcd"), TOKENS), cut=st.integers(1, 4))
def test_only_generation_that_stopped_earlier_is_the_same_answer(
    recorded: dict[str, list[int]], cut: int
) -> None:
    assert differing(recorded, recorded.items()) == ([], len(recorded))
    shortened = {i: tokens[:cut] for i, tokens in recorded.items()}
    assert differing(recorded, shortened.items()) == ([], len(recorded))
    other = {i: [9, *tokens] for i, tokens in recorded.items()}
    assert differing(recorded, other.items())[0] == list(recorded)


def test_an_empty_answer_equals_only_an_empty_one() -> None:
    recorded = {"a": [], "b": [1], "c": [2]}
    assert differing(recorded, [("a", []), ("b", []), ("d", [1])]) == (["b"], 2)


def test_table_is_read_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "base.parquet"
    with pytest.raises(EvidenceError):
        read_base_answers(path)
    write_rows(path, [{"id": "a", "base_tokens": [1, 2]}])
    assert read_base_answers(path) == {"a": [1, 2]}
    write_rows(path, [{"id": "a"}])
    with pytest.raises(EvidenceError):
        read_base_answers(path)
