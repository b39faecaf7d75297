"""Accuracy of an answer that must be one of its references, letter for letter but for case.

GQA (https://cs.stanford.edu/people/dorarad/gqa/evaluate.html, `eval.py`) compares the bare strings;
its answers are lower case, so that what case and white space forgive can only be the prediction's.
MUSIC-AVQA (https://github.com/GeWu-Lab/MUSIC-AVQA, `net_grd_avst/main_avst.py`) compares the index
of the answer among the classes, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_SHORT = 200  # characters; longer answers are rare and not worth holding on to


def fold(answer: str) -> str:
    """The answer without case, and with single spaces between its words."""
    return _remembered(answer) if len(answer) <= _SHORT else _fold(answer)


def _fold(answer: str) -> str:
    return " ".join(answer.casefold().split())


_remembered = lru_cache(maxsize=1 << 16)(_fold)


def item_accuracy(answer: str, references: Sequence[str]) -> float:
    """1.0 where the answer equals any reference, else 0.0.

    Raises:
        ValueError: no reference is given.
    """
    if not references:
        raise ValueError("an answer is held against at least one reference")
    given = fold(answer)
    return float(any(given == fold(reference) for reference in references))
