"""Training material of the digits base: true answers, and no leak of sounds it has not heard."""

from collections import Counter

import pytest

from safe.hearing.miniature.base.digits import DIGITS, LONGEST, TOLD, DigitsMaterial
from safe.hearing.miniature.digits_layout import QUESTIONS, WORDS, read_digit

KINDS = ("written", "parity", "size")


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> DigitsMaterial:
    """Two speakers, takes 10 to 13; the base only needs the file names."""
    root = tmp_path_factory.mktemp("fsdd")
    (root / "recordings").mkdir()
    for digit in range(10):
        for take in range(10, 14):
            for speaker in ("anna", "bert"):
                (root / "recordings" / f"{digit}_{speaker}_{take}.wav").touch()
    return DigitsMaterial(root, split_seed=0, image_size=8, seed=0)


@pytest.fixture(scope="module")
def seen(material):
    return material.seen()


def test_every_picture_has_every_reading_question_with_its_true_answer(seen):
    asked = Counter((item.picture, item.kind) for item in seen.asked if item.task == "vl")
    digits = {n: int(cell) for n, cell in enumerate(seen.cells.flatten()) if cell >= 0}
    assert set(asked) == {(picture, kind) for picture in digits for kind in KINDS}
    for item in seen.asked:
        if item.task == "vl":
            assert item.question == QUESTIONS[item.kind]
            assert item.answer == read_digit(digits[item.picture])[item.kind]


def test_answers_about_sounds_do_not_depend_on_the_picture(seen):
    """If `match` or `sum` depended on the digit, the base could partly answer without audio."""
    shares = []
    for digit in range(10):
        answers = [
            item.answer
            for item in seen.asked
            if item.kind == "match"
            and not item.told
            and int(seen.cells[item.picture].max()) == digit
        ]
        shares.append(answers.count("yes") / len(answers))
    assert 0.3 < min(shares) <= max(shares) < 0.7
    sums = Counter(i.answer for i in seen.asked if i.kind == "sum" and not i.told)
    assert set(sums) == set(WORDS)


def test_answers_after_a_described_recording_are_true(seen):
    told = [item for item in seen.asked if item.told]
    assert {item.kind for item in told if item.task == "vl"} == set(KINDS)  # true, as tested above
    asked = [item for item in told if item.task != "vl"]
    assert {item.kind for item in asked} == set(TOLD)
    for item in asked:
        words, written = item.told.split(), int(seen.cells[item.picture].max())
        assert len(words) <= LONGEST
        (digit,), (speaker,) = (set(words) & set(DIGITS), set(words) - set(DIGITS))
        spoken = WORDS.index(digit)
        assert (
            item.answer
            == {
                "spoken": digit,
                "speaker": speaker,
                "over_five": "yes" if spoken in (6, 7, 8, 9) else "no",
                "over_seven": "yes" if spoken in (8, 9) else "no",
                "match": "yes" if spoken == written else "no",
                "sum": WORDS[spoken + written],
            }[item.kind]
        )
    matches = [item.answer for item in asked if item.kind == "match"]
    assert 0.4 < matches.count("yes") / len(matches) < 0.7  # the prior does not reveal the answer


def test_every_word_of_questions_and_answers_is_in_the_vocabulary(material, seen):
    known = {word.strip("?") for text in material.vlm_texts() for word in text.lower().split()}
    used = {w for i in seen.asked for w in f"{i.told} {i.question} {i.answer}".lower().split()}
    assert {word.strip("?") for word in used} <= known
