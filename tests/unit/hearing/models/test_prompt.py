"""Prompts and answers: normalised white space, and the round trip of answers."""

from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.models.prompt import answer_text, build_prompt, clean_answer


def test_prompt_has_the_documented_form_of_blip2():
    assert build_prompt("How many cats are there?") == "Question: How many cats are there? Answer:"


@given(st.lists(st.text(alphabet="abcdef?", min_size=1), min_size=1), st.sampled_from([" ", "\n"]))
def test_white_space_does_not_change_the_prompt(words, gap):
    assert build_prompt(gap.join(words)) == build_prompt(" ".join(words))


@given(st.lists(st.text(alphabet="abcdef", min_size=1), min_size=1))
def test_answer_survives_formatting_and_cleaning(words):
    answer = " ".join(words)
    assert clean_answer(answer_text(answer)) == answer


def test_only_the_first_line_of_a_generation_is_the_answer():
    assert clean_answer(" red \nQuestion: and now?") == "red"
    assert clean_answer("  \n ") == ""
