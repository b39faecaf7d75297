"""Accuracy by exact match with a reference, ignoring case and white space.

GQA (https://cs.stanford.edu/people/dorarad/gqa/evaluate.html, `eval.py`) compares the strings as
they are; its answers are lower case, so ignoring case and white space only affects predictions.
MUSIC-AVQA (https://github.com/GeWu-Lab/MUSIC-AVQA, `net_grd_avst/main_avst.py`) compares the class
index of the answer for each question.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_SHORT = 200  # characters; longer answers are rare and not cached


def fold(answer: str) -> str:
    """Return the answer case-folded, with single spaces between words."""
    return _cached_fold(answer) if len(answer) <= _SHORT else _fold(answer)


def _fold(answer: str) -> str:
    return " ".join(answer.casefold().split())


_cached_fold = lru_cache(maxsize=1 << 16)(_fold)


def item_accuracy(answer: str, references: Sequence[str]) -> float:
    """Return 1.0 if the answer equals any reference, else 0.0.

    Raises:
        ValueError: there is no reference.
    """
    if not references:
        raise ValueError("at least one reference is needed")
    folded = fold(answer)
    return float(any(folded == fold(reference) for reference in references))
