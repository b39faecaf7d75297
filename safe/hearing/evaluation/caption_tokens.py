"""Tokenize captions as the COCO evaluation does: lower case, Penn Treebank, no punctuation.

Source: pycocoevalcap 1.2, `tokenizer/ptbtokenizer.py`, whose jar (Stanford CoreNLP 3.4.1) and list
of punctuation are used. `regex` applies the same rules without Java.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from safe.hearing.evaluation import java

JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
MEMORY_MB = 1024
SECONDS, CHARACTERS_A_SECOND = 60, 100_000  # typical: millions per second

# Removed tokens. As in the official code the brackets are in capitals and never match lower-case
# tokens, so brackets are kept as words.
_MARKS = "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;"
PUNCTUATIONS = frozenset(_MARKS.split())


def package() -> Path:
    """Return the folder of pycocoevalcap, which contains its jars."""
    import pycocoevalcap

    return Path(next(iter(pycocoevalcap.__path__)))


def ptb(captions: Sequence[str]) -> list[str]:
    """Tokenize each caption by Stanford's PTBTokenizer; join tokens by single spaces.

    Raises:
        Unavailable: Java is missing, fails or takes too long.
    """
    if not captions:
        return []
    # A line break within a caption would shift all captions after it.
    lines = [" ".join(caption.splitlines()) for caption in captions]
    text = "\n".join(lines) + "\n"
    output = java.run(
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
    found = output.removesuffix("\n").split("\n")
    if len(found) != len(captions):
        raise java.Unavailable(
            f"the PTB tokenizer gave {len(found)} lines for {len(captions)} captions: "
            "remove control characters"
        )
    return [_without_punctuation(line.split()) for line in found]


def _without_punctuation(tokens: Iterable[str]) -> str:
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
_SPLIT_WORDS = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "lemme": "lem me",
    "gimme": "gim me",
    "wanna": "wan na",
}
# The look-ahead makes the number atomic. The possessive `++` is shorter but matches wrongly in
# Python 3.11.0 to 3.11.4 (CPython issue 106052).
_TOKEN = re.compile(
    rf"""
    (?:https?://|www\.)\S+                              # addresses
    | (?:{_ABBREVIATIONS})\.(?![a-z])                   # mr.
    | (?:[a-z]\.)+(?:[a-z](?![^\W]))?                   # u.s.  u.s.a  plan b.
    | (?=(\d+(?:[-.,:/]\d+)*))\1(?:st|nd|rd|th|s)?(?![^\W])  # 10,000  3.5  5:30  1/2  10th
    | [^\W_]+n't(?![^\W])                               # split below
    | 'n'
    | '(?:s|m|d|re|ve|ll)(?![^\W])                      # it 's
    | [@\#]?[^\W]+(?:[-/_&@.'](?!(?:s|m|d|re|ve|ll)(?![^\W]))[^\W]+)*
    | \.{{2,}} | -{{2,}} | [!?]{{2,}} | '' | `` | \S
    """,
    re.VERBOSE,
)


def regex(captions: Sequence[str]) -> list[str]:
    """Tokenize as `ptb` does, by a regular expression; linear in a caption's length."""
    return [_without_punctuation(_tokens(caption)) for caption in captions]


def _tokens(caption: str) -> Iterable[str]:
    for match in _TOKEN.finditer(caption.lower().translate(_MAPPED)):
        token = match[0]
        if token in _BRACKETS:
            yield _BRACKETS[token]
        elif token in _SPLIT_WORDS:
            yield from _SPLIT_WORDS[token].split()
        elif token.endswith("n't") and token[:-3].isalnum():
            yield from (token[:-3], "n't")
        elif token.startswith(".."):
            yield "..."
        else:
            yield token
