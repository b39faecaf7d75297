"""VQA accuracy by the official rule.

Source: https://github.com/GT-Vision-Lab/VQA, `PythonEvaluationTools/vqaEvaluation/vqaEval.py`, as
of 2018 and later, and https://visualqa.org/evaluation.html. An answer is held against each nine of
the ten humans: min(1, matches among the nine / 3), averaged over the ten ways to leave one out.

Three habits of that code decide scores and are kept. Where the ten humans gave one and the same
answer, nothing is normalised, so that "Yes!" is wrong where all said "yes"; its author's word:
https://github.com/GT-Vision-Lab/VQA/issues/14. Only the first 32 full stops of an answer go (the
regex flag is passed as a count). "none" becomes "0" on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from safe.errors import DataError

HUMANS = 10
ENOUGH = 3  # humans who agree with an answer make it wholly right

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ANY_PUNCTUATION = re.compile(f"[{re.escape(_PUNCTUATION)}]")
_NUMBER_WITH_COMMA = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS = int(re.UNICODE)  # 32, by the official slip
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)} | {"none": "0"}
_ARTICLES = frozenset(("a", "an", "the"))

# As the official table has them. A word that lost one of its apostrophes gets it back.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
    might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
    you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, char in enumerate(word) if char == "'"]


_RESTORED = {
    written: word for word in _CONTRACTIONS.split() for written in _without_one_apostrophe(word)
} | {"somebody'd": "somebodyd"}  # the official table has this one the other way round

_SHORT = 200  # characters; longer answers are rare and not worth holding on to


def normalise(answer: str) -> str:
    """The answer as the official code compares it: punctuation, case, numbers, articles, spelling.

    Linear in the answer's length.
    """
    return _remembered(answer) if len(answer) <= _SHORT else _normalise(answer)


def _trim(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _normalise(answer: str) -> str:
    text = _trim(answer)
    if _ANY_PUNCTUATION.search(text):
        text = _strip_punctuation(text)
    text = _FULL_STOP.sub("", text, count=_FULL_STOPS)
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(_RESTORED.get(word, word) for word in words if word not in _ARTICLES)


_remembered = lru_cache(maxsize=1 << 16)(_normalise)


def _strip_punctuation(text: str) -> str:
    """A mark goes where it stands beside a space, or anywhere beside a number like 1,000.

    Elsewhere all of its kind become spaces.
    """
    dropped = _NUMBER_WITH_COMMA.search(text) is not None
    return text.translate(
        {
            ord(mark): "" if dropped or f"{mark} " in text or f" {mark}" in text else " "
            for mark in _PUNCTUATION
        }
    )


def item_accuracy(answer: str, references: Sequence[str]) -> float:
    """One answer's accuracy in [0, 1] against the answers of the ten humans.

    Raises:
        DataError: there are not ten references; the formula is defined on ten.
    """
    if len(references) != HUMANS:
        raise DataError(
            f"{len(references)} human answers, where VQA accuracy takes {HUMANS}",
            key="answers",
            hint="use the annotations as published, with the answers of all ten humans",
        )
    given = _trim(answer)
    humans = [_trim(reference) for reference in references]
    if len(set(humans)) > 1:
        given = normalise(given)
        humans = [normalise(human) for human in humans]
    agree = humans.count(given)
    if not agree:
        return 0.0
    # Left out is one of those who agree, or one of the others.
    without_one, with_all = min(1.0, (agree - 1) / ENOUGH), min(1.0, agree / ENOUGH)
    return (agree * without_one + (HUMANS - agree) * with_all) / HUMANS
