"""Official VQA accuracy.

Source: https://github.com/GT-Vision-Lab/VQA, `PythonEvaluationTools/vqaEvaluation/vqaEval.py`, as
of 2018 and later, and https://visualqa.org/evaluation.html. The accuracy is min(1, matches / 3)
with nine of the ten human answers, averaged over the ten subsets of nine.

Three properties of that code affect scores and are reproduced. If all ten humans gave the same
answer, nothing is normalised, so "Yes!" is wrong if all said "yes" (confirmed by the author:
https://github.com/GT-Vision-Lab/VQA/issues/14). Only the first 32 full stops of an answer are
removed, because the regex flag is passed as a count. "none" becomes "0" on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from safe.errors import DataError

HUMANS = 10
ENOUGH = 3  # matching human answers give full accuracy

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ANY_PUNCTUATION = re.compile(f"[{re.escape(_PUNCTUATION)}]")
_NUMBER_WITH_COMMA = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS = int(re.UNICODE)  # 32, as in the official code
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)} | {"none": "0"}
_ARTICLES = frozenset(("a", "an", "the"))

# From the official table. A word without one of its apostrophes is mapped to the word with it.
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
} | {"somebody'd": "somebodyd"}  # reversed in the official table

_SHORT = 200  # characters; longer answers are rare and not cached


def normalise(answer: str) -> str:
    """Normalise punctuation, case, numbers, articles and contractions as the official code does.

    Run time is linear in the answer's length.
    """
    return _cached_normalise(answer) if len(answer) <= _SHORT else _normalise(answer)


def _trim(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _normalise(answer: str) -> str:
    text = _trim(answer)
    if _ANY_PUNCTUATION.search(text):
        text = _strip_punctuation(text)
    text = _FULL_STOP.sub("", text, count=_FULL_STOPS)
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(_RESTORED.get(word, word) for word in words if word not in _ARTICLES)


_cached_normalise = lru_cache(maxsize=1 << 16)(_normalise)


def _strip_punctuation(text: str) -> str:
    """Remove a punctuation mark if it is next to a space anywhere in the text, or if the text
    contains a number like 1,000. Otherwise replace it by a space.
    """
    dropped = _NUMBER_WITH_COMMA.search(text) is not None
    return text.translate(
        {
            ord(mark): "" if dropped or f"{mark} " in text or f" {mark}" in text else " "
            for mark in _PUNCTUATION
        }
    )


def item_accuracy(answer: str, references: Sequence[str]) -> float:
    """Compute the accuracy of an answer, in [0, 1], given the answers of ten humans.

    Raises:
        DataError: the number of references is not ten.
    """
    if len(references) != HUMANS:
        raise DataError(
            f"VQA accuracy needs {HUMANS} human answers, not {len(references)}",
            key="answers",
            hint="use the published annotations with the answers of all ten humans",
        )
    predicted = _trim(answer)
    humans = [_trim(reference) for reference in references]
    if len(set(humans)) > 1:
        predicted = normalise(predicted)
        humans = [normalise(human) for human in humans]
    agree = humans.count(predicted)
    if not agree:
        return 0.0
    # A subset of nine leaves out either a matching answer or another one.
    without_one, with_all = min(1.0, (agree - 1) / ENOUGH), min(1.0, agree / ENOUGH)
    return (agree * without_one + (HUMANS - agree) * with_all) / HUMANS
