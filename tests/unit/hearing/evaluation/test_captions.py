"""Caption metrics: published values, missing programs, and invalid captions."""

import csv
import random
import shutil
import subprocess
import sys

import numpy as np
import psutil
import pytest

from safe.errors import ConfigError, DataError
from safe.hearing.evaluation import caption_java, java
from safe.hearing.evaluation.captions import METRICS, caption_scores
from tests.paths import SHARED

REFERENCE = SHARED / "data/caption_reference/audiocaps_val_predictions.csv"
# By pycocoevalcap 1.2; listed in the folder's README.
PUBLISHED = {
    "bleu_1": 0.504130,
    "bleu_2": 0.334898,
    "bleu_3": 0.222953,
    "bleu_4": 0.144917,
    "cider_d": 0.401724,
    "rouge_l": 0.395808,
}
METEOR = 0.178840
IN_PROCESS = (*PUBLISHED,)
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here")
CAPTIONS = {
    "a": "a dog barks while rain falls on a roof",
    "b": "a bell rings three times and then stops",
    "c": "people talk in a large and busy hall",
}
REFERENCES = {name: [text, "something else is heard"] for name, text in CAPTIONS.items()}


@pytest.fixture(scope="module")
def published():
    if not REFERENCE.is_file():
        pytest.skip("the caption reference is not on this machine")
    with REFERENCE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 464
    return (
        {str(i): row["caption_predicted"] for i, row in enumerate(rows)},
        {str(i): [row[f"caption_{k}"] for k in range(1, 6)] for i, row in enumerate(rows)},
    )


@pytest.mark.parametrize("tokenizer", [pytest.param("ptb", marks=needs_java), "regex"])
def test_published_scores_are_reproduced(published, tokenizer):
    found = caption_scores(*published, metrics=IN_PROCESS, tokenizer=tokenizer)
    assert found.corpus == pytest.approx(PUBLISHED, abs=1e-6)
    assert found.tokenizer == tokenizer
    assert found.unavailable == {}
    for metric in ("cider_d", "rouge_l"):
        assert found.items[metric].mean() == pytest.approx(PUBLISHED[metric], abs=1e-6)


@needs_java
def test_published_meteor_is_reproduced(published):
    found = caption_scores(*published, metrics=["meteor"])
    assert found.corpus["meteor"] == pytest.approx(METEOR, abs=1e-5)
    assert found.items["meteor"].shape == (464,)
    assert found.tokenizer == "ptb"


def test_order_of_items_does_not_change_a_bit(published):
    predictions, references = published
    first = caption_scores(predictions, references, IN_PROCESS, "regex")
    names = list(predictions)
    random.Random(0).shuffle(names)
    again = caption_scores(
        {name: predictions[name] for name in names},
        {name: references[name] for name in sorted(names, reverse=True)},
        IN_PROCESS,
        "regex",
    )
    assert again.corpus == first.corpus
    assert again.ids == first.ids
    assert all((again.items[m] == first.items[m]).all() for m in IN_PROCESS)


def test_perfect_shuffled_and_empty_predictions():
    perfect = caption_scores(CAPTIONS, REFERENCES, IN_PROCESS, "regex")
    assert perfect.corpus["bleu_4"] == pytest.approx(1, abs=1e-6)
    assert perfect.corpus["rouge_l"] == 1
    assert perfect.items["cider_d"] == pytest.approx([5, 5, 5])  # one of two references matches
    shifted = dict(zip("abc", (CAPTIONS[k] for k in "bca"), strict=True))
    worse = caption_scores(shifted, REFERENCES, IN_PROCESS, "regex")
    assert all(worse.corpus[metric] < perfect.corpus[metric] / 2 for metric in IN_PROCESS)
    nothing = caption_scores(dict.fromkeys("abc", ""), REFERENCES, IN_PROCESS, "regex")
    assert nothing.corpus == pytest.approx(dict.fromkeys(IN_PROCESS, 0), abs=1e-6)
    one = caption_scores(CAPTIONS | {"b": ""}, REFERENCES, IN_PROCESS, "regex")
    assert one.items["rouge_l"] == pytest.approx([1, 0, 1])
    assert one.items["cider_d"][1] == 0


@needs_java
def test_meteor_of_perfect_empty_and_unusual_captions():
    captions = CAPTIONS | {"d": "", "e": "||| a ||| dog", "f": "café \ud800 日本", "g": "x\ny"}
    references = {name: [text or "a dog"] for name, text in captions.items()}
    found = caption_scores(captions, references, ["meteor"])
    assert found.unavailable == {}
    each = dict(zip(found.ids, found.items["meteor"], strict=True))
    assert each["a"] == each["b"] == each["c"] == each["e"] == each["g"] == 1
    assert each["d"] == 0
    assert 0 < found.corpus["meteor"] < 1
    assert not [p for p in psutil.Process().children() if p.name() == "java"]  # it has ended


def test_metrics_are_returned_in_the_requested_order_once():
    found = caption_scores(CAPTIONS, REFERENCES, ["rouge_l", "bleu_1", "rouge_l"], "regex")
    assert list(found.corpus) == ["rouge_l", "bleu_1"]
    assert list(found.items) == ["rouge_l", "bleu_1"]


# -- unavailable metrics --------------------------------------------------------------------------


def test_without_java_the_rest_is_scored_and_the_tokenizer_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = caption_scores(CAPTIONS, REFERENCES)
    assert found.tokenizer == "regex"
    assert "no Java on PATH: install a Java runtime" in found.tokenizer_note
    assert set(found.corpus) == set(IN_PROCESS)
    assert set(found.unavailable) == {"meteor", "spice", "spider"}
    assert all("install a Java runtime" in why for why in found.unavailable.values())
    with pytest.raises(DataError, match="PTB tokenizer cannot run: there is no Java"):
        caption_scores(CAPTIONS, REFERENCES, tokenizer="ptb")


@needs_java
def test_spice_is_unavailable_with_a_hint_and_downloads_nothing(monkeypatch, tmp_path):
    (tmp_path / "spice" / "lib").mkdir(parents=True)
    monkeypatch.setattr(caption_java, "package", lambda: tmp_path)
    found = caption_scores(CAPTIONS, REFERENCES, ["spice", "spider", "cider_d"], "regex")
    assert set(found.corpus) == {"cider_d"}
    assert found.unavailable["spice"] == found.unavailable["spider"]
    assert "stanford-corenlp-3.6.0-models.jar" in found.unavailable["spice"]
    assert caption_java.FETCH_SPICE in found.unavailable["spice"]
    assert list((tmp_path / "spice" / "lib").iterdir()) == []
    assert "pycocoevalcap.spice.spice" not in sys.modules  # which would download


def fake_spice(monkeypatch, tmp_path, text):
    """Create SPICE's jars and a fake `java` that writes `text` as their output."""
    lib = tmp_path / "spice" / "lib"
    lib.mkdir(parents=True)
    for name in caption_java.SPICE_JARS:
        (lib / name).touch()
    monkeypatch.setattr(caption_java, "package", lambda: tmp_path)
    (tmp_path / "said").write_text(text, encoding="utf-8")
    program = tmp_path / "java"
    program.write_text(
        f'#!/bin/sh\nfor a; do [ "$last" = -out ] && cat {tmp_path}/said > "$a"; last="$a"; done\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(program))


def test_spice_and_spider_are_read_from_the_programs_output(monkeypatch, tmp_path):
    rows = ",".join(
        f'{{"image_id": "{name}", "scores": {{"All": {{"f": {f}}}}}}}'
        for name, f in (("c", 0.5), ("a", 0.25), ("b", 0.0))
    )
    fake_spice(monkeypatch, tmp_path, f"[{rows}]")
    found = caption_scores(CAPTIONS, REFERENCES, ["spice", "cider_d", "spider"], "regex")
    assert list(found.items["spice"]) == [0.25, 0.0, 0.5]
    assert found.corpus["spice"] == 0.25
    assert found.corpus["spider"] == (0.25 + found.corpus["cider_d"]) / 2
    assert (found.items["spider"] == (found.items["spice"] + found.items["cider_d"]) / 2).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("[", "cannot be read"),
        ("{}", "no score for 3 items"),
        ('[{"image_id": "a"}]', "cannot be read"),
        ('[{"image_id": "a", "scores": {"All": {"f": 0.5}}}]', "no score for 2 items, e.g. 'b'"),
        ('[{"image_id": "a", "scores": {"All": {"f": NaN}}}]', "gave 'nan' as a score"),
    ],
)
def test_invalid_spice_output_is_unavailable(monkeypatch, tmp_path, text, message):
    fake_spice(monkeypatch, tmp_path, text)
    found = caption_scores(CAPTIONS, REFERENCES, ["spice", "spider"], "regex")
    assert found.corpus == {}
    assert message in found.unavailable["spice"]
    assert message in found.unavailable["spider"]


def test_cider_of_one_item_is_unavailable_and_not_zero():
    found = caption_scores({"a": "a dog"}, {"a": ["a dog"]}, ["cider_d", "rouge_l"], "regex")
    assert found.corpus == {"rouge_l": 1}
    assert "two items or more" in found.unavailable["cider_d"]


def test_caption_too_long_for_meteor_is_named_and_the_rest_is_scored():
    captions = CAPTIONS | {"b": "dog " * 10_001}
    found = caption_scores(captions, REFERENCES, ["meteor", "rouge_l"], "regex")
    assert "'b' has 10001 words; METEOR supports up to 10000" in found.unavailable["meteor"]
    assert found.items["rouge_l"][1] == 0


def test_failing_java_affects_only_metrics_that_need_it(monkeypatch, tmp_path):
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(java.shutil, "which", lambda name: str(program))
    found = caption_scores(CAPTIONS, REFERENCES, ["meteor", "bleu_1"])
    assert (found.tokenizer, set(found.corpus)) == ("regex", {"bleu_1"})
    assert "no memory" in found.tokenizer_note
    assert "no memory" in found.unavailable["meteor"]


# -- invalid input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ({}, {}, "no caption to score"),
        ({"a": "x"}, {}, "1 items have no references, e.g. 'a'"),
        ({"a": "x"}, {"a": ["x"], "b": ["x"], "c": ["x"]}, "2 items have no predicted caption"),
        ({"a": "x"}, {"a": []}, "a list of at least one reference"),
        ({"a": "x"}, {"a": "x"}, "a list of at least one reference"),
        ({"a": None}, {"a": ["x"]}, "all strings"),
        ({"a": 3}, {"a": ["x"]}, "all strings"),
        ({"a": "x"}, {"a": ["x", None]}, "all strings"),
        ({"a": "x"}, {"a": [""]}, "no reference contains a word"),
        ({"a": "x"}, {"a": [" . ", "!"]}, "no reference contains a word"),
        ({"a": "x"}, {"a": ["x " * 10_001]}, "a reference has 10001 words"),
    ],
)
def test_items_that_cannot_be_scored_are_named(predictions, references, message):
    with pytest.raises(DataError, match=message) as caught:
        caption_scores(predictions, references, ["bleu_1"], "regex")
    assert "\n  hint: " in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["bleu_5"]}, "unknown metric 'bleu_5'"),
        ({"metrics": []}, "there is no metric"),
        ({"tokenizer": "nltk"}, "unknown tokenizer 'nltk'"),
    ],
)
def test_unknown_names_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        caption_scores(CAPTIONS, REFERENCES, **options)


def test_scoring_prints_nothing_and_loads_no_torch():
    script = (
        "import sys; from safe.hearing.evaluation.captions import caption_scores as s;"
        f"s({CAPTIONS!r}, {REFERENCES!r}, {IN_PROCESS!r});"
        "print('torch' in sys.modules, 'pycocoevalcap.spice.spice' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout.split(), found.stderr) == (["False"] * 2, "")


def test_every_metric_has_a_value_for_each_item_or_a_reason(monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = caption_scores(CAPTIONS, REFERENCES, METRICS, "regex")
    assert set(found.corpus) | set(found.unavailable) == set(METRICS)
    assert not set(found.corpus) & set(found.unavailable)
    for each in found.items.values():
        assert each.shape == (3,)
        assert each.dtype == np.float64
