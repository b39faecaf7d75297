"""N-gram metrics: hand-computed values, comparison with pycocoevalcap, very long captions."""

import contextlib
import io
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.rouge.rouge import Rouge

from safe.hearing.evaluation.caption_overlap import (
    FAR_TOO_LONG,
    bleu,
    bounded,
    cider_d,
    rouge,
    rouge_l,
)
from safe.hearing.evaluation.java import Unavailable

WORDS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=12).map(" ".join)


def test_rouge_l_by_hand():
    # Common: "a dog barks". P = 3/4, R = 3/3; F = (1 + 1.44) * P * R / (R + 1.44 * P).
    assert rouge_l("a dog loudly barks", ["a dog barks"]) == pytest.approx(2.44 * 0.75 / 2.08)
    assert rouge_l("a dog barks", ["a dog barks"]) == 1
    assert rouge_l("barks dog a", ["a dog barks"]) == pytest.approx(1 / 3)
    assert rouge_l("x", ["a dog barks"]) == 0


def test_captions_without_words_have_no_rouge():
    assert rouge_l("", ["a dog barks"]) == 0
    assert rouge_l("", [""]) == 0  # 1 in pycocoevalcap, which splits "" into one empty word
    assert rouge_l("a dog", ["", "a dog"]) == 1


@settings(max_examples=200, deadline=None)
@given(WORDS, st.lists(WORDS, min_size=1, max_size=4))
def test_rouge_l_agrees_with_pycocoevalcap(candidate, references):
    expected = Rouge().calc_score([candidate], references)
    assert rouge_l(candidate, references) == pytest.approx(expected, abs=1e-12)


def test_bleu_by_hand():
    found = bleu({"1": "a dog barks loudly"}, {"1": ["a dog barks"]})
    expected = (3 / 4, (3 / 4 * 2 / 3) ** (1 / 2), (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3))
    for name, value in zip(("bleu_1", "bleu_2", "bleu_3"), expected, strict=True):
        assert found[name][0] == pytest.approx(value, abs=1e-6)
    assert found["bleu_4"][0] < 1e-3
    short = bleu({"1": "a dog"}, {"1": ["a dog barks"]})["bleu_1"]
    assert short[0] == pytest.approx(np.exp(1 - 3 / 2), abs=1e-6)
    assert short[1] == pytest.approx([short[0]], abs=1e-6)


def test_cider_of_the_references_is_ten_and_unavailable_for_one_item():
    captions = {"1": "a dog barks loudly", "2": "rain falls on roofs", "3": "people talk and laugh"}
    value, each = cider_d(captions, {name: [text] for name, text in captions.items()})
    assert value == pytest.approx(10)
    assert each == pytest.approx([10, 10, 10])
    with pytest.raises(Unavailable, match="two items or more"):
        cider_d({"1": "a dog"}, {"1": ["a dog"]})


def test_metrics_print_nothing():
    captions = {"1": "a dog", "2": "a cat"}
    references = {"1": ["a dog"], "2": ["the cat"]}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        bleu(captions, references), cider_d(captions, references), rouge(captions, references)
    assert printed.getvalue() == ""


def unbounded(candidates, references):
    """BLEU and CIDEr-D by pycocoevalcap on the unmodified captions."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    given = {name: [text] for name, text in candidates.items()}
    overall, each = Bleu(4).compute_score(references, given, verbose=0)
    return overall, each, Cider().compute_score(references, given)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(-3, 400))
def test_bounded_caption_scores_exactly_as_the_unbounded_one(seed, more):
    rng = random.Random(seed)
    references = {
        "1": ["a dog barks while it rains", "a loud dog barks"],
        "2": ["rain falls on a roof", "it rains"],
    }
    known = " ".join(references["1"] + references["2"]).split()
    words = rng.choices([*known, *(f"w{i}" for i in range(50))], k=6 + FAR_TOO_LONG + more)
    candidates = {"1": " ".join(words), "2": "rain falls"}
    overall, each, cider = unbounded(candidates, references)
    found = bleu(candidates, references)
    assert [found[f"bleu_{i}"][0] for i in range(1, 5)] == overall
    assert [list(found[f"bleu_{i}"][1]) for i in range(1, 5)] == each
    value, scores = cider_d(candidates, references)
    assert value == cider[0]
    assert list(scores) == list(cider[1])


def test_bounded_keeps_lengths_and_does_not_change_short_captions():
    assert bounded("a b c", ["a"]) == "a b c"
    long = " ".join(f"w{i}" for i in range(1000)) + " a"
    short = bounded(long, ["a dog"])
    assert short.count(" ") == long.count(" ")
    assert set(short.split(" ")) == {"a", "\0"}


TEN_MEGABYTES = """
import random, resource, sys
from safe.hearing.evaluation.caption_overlap import bleu, cider_d, rouge
rng = random.Random(0)
words = ["dog"] * 2_500_000 if sys.argv[1] == "again" else (
    f"w{rng.randrange(10**7)}" for _ in range(1_250_000)
)
candidates = {"1": " ".join(words), "2": "rain falls"}
references = {"1": ["a dog barks"] * 5, "2": ["rain falls on a roof"] * 5}
assert len(candidates["1"]) > 9_900_000
scores = (bleu(candidates, references)["bleu_1"], cider_d(candidates, references))
# Not ru_maxrss: that begins with the memory of whoever started this process.
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(scores[0][1][0], scores[1][1][0], rouge(candidates, references)[1][0])
print(peak * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read a peak from")
@pytest.mark.parametrize("kind", ["again", "another"])
def test_ten_megabytes_of_words_are_scored_within_memory_and_time(kind):
    found = subprocess.run(
        [sys.executable, "-c", TEN_MEGABYTES, kind], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    bleu_1, cider, rouge_1, peak, seconds = map(float, found.stdout.split())
    assert 0 <= bleu_1 < 1e-5
    assert cider == 0
    assert 0 <= rouge_1 < 1e-5
    assert peak < 700e6  # storing every n-gram would take about 2 GB
    assert seconds < 60
