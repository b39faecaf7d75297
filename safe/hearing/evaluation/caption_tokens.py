"""Captions as the COCO evaluation compares them: lower case, Penn Treebank tokens, no punctuation.

Source: pycocoevalcap 1.2, `tokenizer/ptbtokenizer.py`, whose jar (Stanford CoreNLP 3.4.1) and list
of punctuation are used. Without Java a regular expression follows the same rules; see `regex`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from safe.hearing.evaluation import java

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
MEMORY_MB = 1024
SECONDS, CHARACTERS_A_SECOND = 60, 100_000  # it takes millions a second; a slow machine less

# Tokens that do not count. The brackets are in capitals, as there, and so never found in lower
# case: a bracket is a word of its own to the official code.
_MARKS = "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;"
PUNCTUATIONS = frozenset(_MARKS.split())


def package() -> Path:
    """Folder of pycocoevalcap, with its jars."""
    import pycocoevalcap

    return Path(next(iter(pycocoevalcap.__path__)))


def ptb(captions: Sequence[str]) -> list[str]:
    """Tokens of each caption, joined by single spaces, by Stanford's PTBTokenizer.

    Raises:
        Unavailable: no Java, or it fails or takes too long.
    """
    if not captions:
        return []
    # Any other line break would end a line for Java too, and shift all captions behind it.
    lines = [" ".join(caption.splitlines()) for caption in captions]
    text = "\n".join(lines) + "\n"
    said = java.run(
        [
            "-cp",
            package() / JAR,
            "edu.stanford.nlp.process.PTBTokenizer",
            "-preserveLines",
            "-lowerCase",
            "-encoding",
            "UTF-8",
        ],
        text,
        memory_mb=MEMORY_MB,
        seconds=SECONDS + len(text) / CHARACTERS_A_SECOND,
    )
    found = said.removesuffix("\n").split("\n")
    if len(found) != len(captions):
        raise java.Unavailable(
            f"the PTB tokenizer gave {len(found)} lines for {len(captions)} captions: "
            "take control characters out of them"
        )
    return [_counted(line.split()) for line in found]


def _counted(tokens: Iterable[str]) -> str:
    return " ".join(token for token in tokens if token not in PUNCTUATIONS)


# -- without Java ---------------------------------------------------------------------------------

_MAPPED = str.maketrans(
    {
        '"': "''",
        "’": "'",
        "‘": "'",
        "“": "''",
        "”": "''",
        "—": "--",
        "–": "--",
        "…": "...",
        "\u00a0": " ",
    }
    | {"½": "1/2", "¼": "1/4", "¾": "3/4", "£": "# "}
)
_BRACKETS = dict(zip("()[]{}", ("-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"), strict=True))
_ABBREVIATIONS = (
    "mr|mrs|ms|dr|prof|st|mt|jr|sr|vs|etc|est|al|inc|ltd|co|corp|gen|col|capt|lt|sgt|rev|hon|gov|"
    "sen|rep|mon|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec|ave|blvd|rd|dept|ph\\.d"
)
_PARTED = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "lemme": "lem me",
    "gimme": "gim me",
    "wanna": "wan na",
}
# The look-ahead makes the number atomic. The possessive `++` would be shorter, but gives wrong
# matches in Python 3.11.0 to 3.11.4 (CPython issue 106052).
_TOKEN = re.compile(
    rf"""
    (?:https?://|www\.)\S+                              # addresses
    | (?:{_ABBREVIATIONS})\.(?![a-z])                   # mr.
    | (?:[a-z]\.)+(?:[a-z](?![^\W]))?                   # u.s.  u.s.a  plan b.
    | (?=(\d+(?:[-.,:/]\d+)*))\1(?:st|nd|rd|th|s)?(?![^\W])  # 10,000  3.5  5:30  1/2  10th
    | [^\W_]+n't(?![^\W])                               # parted below
    | 'n'
    | '(?:s|m|d|re|ve|ll)(?![^\W])                      # it 's
    | [@\#]?[^\W]+(?:[-/_&@.'](?!(?:s|m|d|re|ve|ll)(?![^\W]))[^\W]+)*
    | \.{{2,}} | -{{2,}} | [!?]{{2,}} | '' | `` | \S
    """,
    re.VERBOSE,
)


def regex(captions: Sequence[str]) -> list[str]:
    """As `ptb`, by a regular expression; linear in a caption's length."""
    return [_counted(_tokens(caption)) for caption in captions]


def _tokens(caption: str) -> Iterable[str]:
    for match in _TOKEN.finditer(caption.lower().translate(_MAPPED)):
        token = match[0]
        if token in _BRACKETS:
            yield _BRACKETS[token]
        elif token in _PARTED:
            yield from _PARTED[token].split()
        elif token.endswith("n't") and token[:-3].isalnum():
            yield from (token[:-3], "n't")
        elif token.startswith(".."):
            yield "..."
        else:
            yield token
