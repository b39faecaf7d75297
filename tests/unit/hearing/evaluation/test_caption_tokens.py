import csv
import shutil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safe.hearing.evaluation import caption_tokens
from safe.hearing.evaluation.java import Unavailable
from tests.paths import SHARED

AUDIOCAPS = SHARED / "data" / "audiocaps" / "val.csv"
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here")

# Caption -> tokens of Stanford's tokenizer.
KNOWN = {
    "A man speaks, a dog barks.": "a man speaks a dog barks",
    "": "",
    " . , !": "",
    'a man says "hello" (loudly)': "a man says hello -lrb- loudly -rrb-",
    "it's a dog's bark; dogs' barks: loud": "it 's a dog 's bark dogs barks loud",
    "they don't, can't, won't; cannot gonna": "they do n't ca n't wo n't can not gon na",
    "high-pitched and/or 3.5% of 10,000": "high-pitched and/or 3.5 % of 10,000",
    "one- two -three four--five - six": "one two three four five six",
    "Mr. Smith at 5:30 p.m. etc.": "mr. smith at 5:30 p.m. etc.",
    "he says no.": "he says no",
    "hmm... er.. loud! loud!!! what?!": "hmm er loud loud !!! what ?!",
    "café — naïve “quoted” ‘single’ ½": "café naïve quoted single 1/2",
    "R&B and AT&T at $5": "r&b and at&t at $ 5",
    "33d 80s 10th 3-4 1st": "33d 80s 10th 3-4 1st",
    "||| a ||| b": "| | | a | | | b",
    "rock 'n' roll o'clock": "rock 'n' roll o'clock",
    "two\nlines\rand\u2028more": "two lines and more",
}


@needs_java
def test_official_tokenizer():
    assert caption_tokens.ptb(list(KNOWN)) == list(KNOWN.values())


def test_regular_expression_agrees_with_the_official_tokenizer():
    assert caption_tokens.regex(list(KNOWN)) == list(KNOWN.values())


@needs_java
def test_both_agree_on_published_captions():
    if not AUDIOCAPS.is_file():
        pytest.skip("AudioCaps' captions are not on this machine")
    with AUDIOCAPS.open(encoding="utf-8", newline="") as file:
        captions = [row["caption"] for row in csv.DictReader(file)]
    pairs = zip(caption_tokens.ptb(captions), caption_tokens.regex(captions), strict=True)
    assert len(captions) > 2000
    assert sum(a != b for a, b in pairs) <= len(captions) / 1000


@needs_java
def test_line_breaks_of_any_kind_shift_no_caption():
    breaks = ["a\nb", "a\rb", "a\r\nb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "\n\n"]
    captions = [text for pair in ((b, "next one") for b in breaks) for text in pair]
    found = caption_tokens.ptb(captions)
    assert found[:-2:2] == ["a b"] * (len(breaks) - 1)
    assert found[1::2] == ["next one"] * len(breaks)


@needs_java
def test_invalid_characters_do_not_break_the_tokenizer():
    found = caption_tokens.ptb(["a \ud800 dog", "\x00\x01", "the end"])
    assert found[0].split()[0] == "a"
    assert found[2] == "the end"
    assert caption_tokens.ptb([]) == []


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
@example("N'T")
@example("x-n't")
@example("0/")
def test_tokens_are_words_joined_by_single_spaces(caption):
    (found,) = caption_tokens.regex([caption])
    assert found == " ".join(found.split())
    assert not set(found.split()) & caption_tokens.PUNCTUATIONS
    assert caption_tokens.regex([f"  {caption}\n"]) == [found]


@pytest.mark.parametrize(
    "text", ["a", "1", "1,", "a.", "n't", "-", "''", "a-", "?", "http://", "é'"]
)
def test_regular_expression_is_linear(text):
    """With two million characters, quadratic time would not finish."""
    (found,) = caption_tokens.regex([text * (2_000_000 // len(text))])
    (short,) = caption_tokens.regex([text * (2_000 // len(text))])
    assert found[:1000] == short[:1000]


def test_without_java_ptb_is_unavailable(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="no Java on PATH: install"):
        caption_tokens.ptb(["a dog"])
