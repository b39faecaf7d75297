"""Caption files in published formats, and their possible faults."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safe.cli import app
from safe.errors import ConfigError, DataError
from safe.scoring.captions import score_captions
from tests.paths import SHARED
from tests.unit.scoring.files import write

REFERENCE = SHARED / "data/caption_reference/audiocaps_val_predictions.csv"
QUICK = ["bleu_1", "rouge_l"]
HEADER = ("audiocap_id", "youtube_id", "start_time", "caption")
CLIPS = [
    ("1", "abcdefghijk", "30", "a dog barks"),
    ("2", "abcdefghijk", "30", "the dog is barking"),
    ("3", "-bcdefghijk", "0", "rain falls"),
]


@pytest.fixture(autouse=True)
def _no_java(monkeypatch, request):
    """Without Java, tests of files are quick and independent of the machine."""
    if "needs_java" not in request.fixturenames:
        monkeypatch.setenv("PATH", "")


@pytest.fixture
def needs_java():
    if shutil.which("java") is None:
        pytest.skip("there is no Java here")


def table(path: Path, header, rows, encoding="utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def audiocaps(tmp_path):
    return table(tmp_path / "val.csv", HEADER, CLIPS)


def values(scored):
    return {name: figure.value for name, figure in scored.figures.items()}


# -- formats --------------------------------------------------------------------------------------


def test_published_scores_with_one_command(needs_java):
    if not REFERENCE.is_file():
        pytest.skip("the caption reference is not on this machine")
    arguments = ["score", "captions", "--references", str(REFERENCE), "--json"]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert found["figures"] == {
        "bleu_1": pytest.approx(0.504130, abs=1e-6),
        "bleu_2": pytest.approx(0.334898, abs=1e-6),
        "bleu_3": pytest.approx(0.222953, abs=1e-6),
        "bleu_4": pytest.approx(0.144917, abs=1e-6),
        "rouge_l": pytest.approx(0.395808, abs=1e-6),
        "cider_d": pytest.approx(0.401724, abs=1e-6),
        "meteor": pytest.approx(0.178840, abs=1e-5),
        "spice": found["figures"]["spice"],
        "spider": found["figures"]["spider"],
    }
    assert found["n"] == 464
    assert found["notes"]["tokenizer"].startswith("ptb")
    if found["figures"]["spice"] is None:
        assert "get_stanford_models" in found["unavailable"]["spice"]


def test_predictions_and_references_in_one_file(tmp_path):
    header = ("caption_predicted", "caption_1", "caption_2")
    rows = [("a dog barks", "a dog barks", ""), ("", "rain falls", "it rains")]
    path = table(tmp_path / "captions.csv", header, rows)
    scored = score_captions(path, metrics=QUICK)
    assert scored.n == 2
    assert scored.figures["rouge_l"].value == 0.5
    assert score_captions(path, path, metrics=QUICK) == scored
    assert scored.notes["tokenizer"].startswith("regex instead of ptb; values may differ")
    with pytest.raises(DataError, match="already has predictions"):
        score_captions(path, tmp_path / "other.csv", QUICK)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (("id", "caption"), [("abcdefghijk_30", "a dog barks"), ("-bcdefghijk_0", "rain")]),
        (("youtube_id", "caption"), [("abcdefghijk", "a dog barks"), ("-bcdefghijk", "rain")]),
        (("id", "caption"), [("3", "rain"), ("2", "a dog barks")]),
        (("audiocap_id", "caption_predicted"), [("1", "a dog barks"), ("3", "rain")]),
        (
            ("youtube_id", "start_time", "caption"),
            [("abcdefghijk", "30", "a dog barks"), ("-bcdefghijk", "0", "rain")],
        ),
    ],
)
def test_audiocaps_clips_by_any_of_their_names(tmp_path, audiocaps, header, rows):
    scored = score_captions(audiocaps, table(tmp_path / "given.csv", header, rows), QUICK)
    assert scored.n == 2
    assert scored.counts == {"unanswered": 0, "unknown": 0}
    assert scored.figures["bleu_1"].value == pytest.approx(1 * 0.7788, abs=1e-4)  # exp(1 - 5/4)


def test_audiocaps_clips_of_one_video_are_distinguished_by_start_time(tmp_path):
    rows = [("1", "abc", "0", "a dog barks"), ("2", "abc", "30", "rain falls")]
    references = table(tmp_path / "val.csv", HEADER, rows)
    ambiguous = table(tmp_path / "a.csv", ("youtube_id", "caption"), [("abc", "rain falls")])
    with pytest.raises(DataError, match=r"abc matches 2 items \(abc_0, abc_30\)"):
        score_captions(references, ambiguous, QUICK)
    header = ("youtube_id", "start_time", "caption")
    exact = [("abc", "30", "rain falls"), ("abc", "0", "a dog barks")]
    assert values(
        score_captions(references, table(tmp_path / "b.csv", header, exact), ["rouge_l"])
    )["rouge_l"] == pytest.approx(1)


def coco(tmp_path, rows):
    rows = [{"id": i, "image_id": n, "caption": c} for i, (n, c) in enumerate(rows)]
    return write(tmp_path / "captions_val2014.json", {"images": [], "annotations": rows})


def test_coco_files_are_scored(tmp_path):
    references = coco(tmp_path, [(7, "a dog barks"), (8, "rain falls"), (7, "it barks")])
    results = [{"image_id": 8, "caption": "rain falls"}, {"image_id": "7", "caption": "it barks"}]
    found = score_captions(references, write(tmp_path / "results.json", results), QUICK)
    assert values(found) == pytest.approx({"bleu_1": 1, "rouge_l": 1})
    assert found.n == 2


# -- ids ------------------------------------------------------------------------------------------


def test_missing_and_unknown_ids_are_refused_together_unless_allowed(tmp_path):
    references = coco(tmp_path, [(7, "a dog barks"), (8, "rain falls")])
    results = write(
        tmp_path / "results.json",
        [{"image_id": 8, "caption": "rain falls"}, {"image_id": 9, "caption": "x"}],
    )
    with pytest.raises(DataError) as caught:
        score_captions(references, results, QUICK)
    text = str(caught.value)
    assert "results.json: 1 of 2 items have no caption (7)" in text
    assert "1 captions are of items that are not in captions_val2014.json (9)" in text
    assert "--allow-incomplete" in text
    found = score_captions(references, results, QUICK, allow_incomplete=True)
    assert found.n == 2
    assert found.counts == {"unanswered": 1, "unknown": 1}
    assert found.figures["rouge_l"].value == 0.5
    # Two words of five: exp(1 - 5 / 2).
    assert found.figures["bleu_1"].value == pytest.approx(0.22313, abs=1e-5)


def test_no_captions_score_zero_when_incomplete_is_allowed(tmp_path):
    references = coco(tmp_path, [(7, "a dog barks"), (8, "rain falls")])
    results = write(tmp_path / "results.json", [])
    found = score_captions(references, results, None, allow_incomplete=True)
    assert found.figures["cider_d"].value == 0
    assert found.figures["rouge_l"].value == 0
    assert found.figures["meteor"].value is None  # no Java, not 0


@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_two_captions_of_one_item_are_refused(tmp_path, audiocaps, allow_incomplete):
    rows = [("1", "a dog"), ("3", "rain"), ("abcdefghijk_30", "a dog")]
    given = table(tmp_path / "given.csv", ("id", "caption"), rows)
    with pytest.raises(DataError, match="abcdefghijk_30 has more than one caption"):
        score_captions(audiocaps, given, QUICK, allow_incomplete)
    rows = [("1", "a dog"), ("3", "rain"), ("x", "a dog"), ("x", "a cat")]
    given = table(tmp_path / "given.csv", ("id", "caption"), rows)
    with pytest.raises(DataError, match="x has more than one caption"):
        score_captions(audiocaps, given, QUICK, allow_incomplete)


# -- files that cannot be used --------------------------------------------------------------------


def refused(*arguments, **more) -> str:
    with pytest.raises(DataError) as caught:
        score_captions(*arguments, metrics=QUICK, **more)
    text = str(caught.value)
    assert any(str(file) in text for file in arguments)
    assert "\n  hint: " in text
    assert len(text) < 700
    return text


GOOD = [{"image_id": 7, "caption": "a dog"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps([{"image_id": 7, "caption": 3}]).encode(), "expected str, found 3"),
        (json.dumps([{"image_id": 7, "caption": ["x"]}]).encode(), "expected str"),
        (json.dumps([{"image_id": 7}]).encode(), "the key 'caption' is missing"),
        (json.dumps([{"caption": "x"}]).encode(), "the key 'image_id' is missing"),
        (json.dumps([{"image_id": True, "caption": "x"}]).encode(), "found true"),
        (json.dumps(["x"]).encode(), "the key 'image_id' is missing"),
        (json.dumps({"7": "x"}).encode(), "the file is an object; the format requires a list"),
        (json.dumps(GOOD).encode()[:-3], "cut off"),
        (b"", "cut off"),
        (b"image_id,caption\n7,a dog\n", "broken JSON"),
        (json.dumps(GOOD).encode("utf-16"), "not UTF-8"),
        ('[{"image_id": 7, "caption": "café"}]'.encode("latin-1"), "not UTF-8"),
        (json.dumps(GOOD * 2).encode(), "7 has more than one caption"),
        (json.dumps([{"image_id": "x" * 10**6, "caption": "x"}]).encode(), "not in"),
    ],
)
def test_invalid_predictions_are_refused(tmp_path, content, message):
    given = tmp_path / "results.json"
    given.write_bytes(content)
    assert message in refused(coco(tmp_path, [(7, "a dog")]), given)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id\n1\n", "the key 'caption' is missing"),
        (b"name,caption\n1,a dog\n", "the key 'image_id' is missing"),
        (b"id,caption\n1,a dog,loud\n", "3 fields where the header has 2"),
        (b'id,caption\n1,"a dog\n', "broken row"),
        ("id,caption\n1,café\n".encode("latin-1"), "not UTF-8 (byte 0xe9)"),
        ("id,caption\n1,x\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_invalid_prediction_tables_are_refused(tmp_path, audiocaps, content, message):
    given = tmp_path / "given.csv"
    given.write_bytes(content)
    assert message in refused(audiocaps, given)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", b"", "the column 'audiocap_id' is missing"),
        ("r.csv", b"caption_predicted\nx\n", "the column 'caption_1' is missing"),
        ("r.csv", b"caption_predicted,caption_1\n", "the file has no captions"),
        ("r.csv", b"caption_predicted,caption_1\nx,\n", "row 1 has an empty reference"),
        ("r.csv", b"caption_predicted,caption_1\nx,...\n", "no reference contains a word"),
        ("r.csv", b"audiocap_id,youtube_id,start_time,caption\n", "the file has no captions"),
        ("r.csv", b"audiocap_id,youtube_id,start_time,caption\n1,a,0,\n", "empty reference"),
        (
            "r.csv",
            b"audiocap_id,youtube_id,start_time,caption\n1,a,0,x\n1,b,0,x\n",
            "the id 1 is used by two rows",
        ),
        ("r.csv", "caption_predicted,caption_1\n".encode("utf-16"), "UTF-16"),
        ("r.json", b"[]", "the file is a list; the format requires an object"),
        ("r.json", b'{"annotations": []}', "the file has no captions"),
        ("r.json", b'{"images": []}', "annotations"),
        ("r.json", b'{"annotations": [{"image_id": 7, "caption": " "}]}', "empty reference"),
        ("r.json", b'{"annotations": [{"image_id": 7}]}', "the key 'caption' is missing"),
        ("r.json", b'{"annotations": [{"caption": "x"}]}', "the key 'image_id' is missing"),
        ("r.txt", b"x", "unknown suffix '.txt'"),
    ],
)
def test_invalid_references_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    given = None if b"caption_predicted" in content else write(tmp_path / "given.json", [])
    assert message in refused(path, *([given] if given else []), allow_incomplete=True)


def test_missing_or_unknown_files_are_refused(tmp_path, audiocaps):
    assert "no such file" in refused(tmp_path / "none.csv")
    assert "cannot be read" in refused(tmp_path / "none.json", tmp_path / "none.json")
    assert "no such file" in refused(audiocaps, tmp_path / "none.csv")
    assert "add --predictions FILE" in refused(audiocaps)
    assert "unknown suffix" in refused(audiocaps, tmp_path / "given.txt")


def test_byte_order_mark_is_accepted(tmp_path):
    table(tmp_path / "r.csv", HEADER, CLIPS, encoding="utf-8-sig")
    rows = [("1", "a dog"), ("3", "rain")]
    table(tmp_path / "g.csv", ("id", "caption"), rows, encoding="utf-8-sig")
    assert score_captions(tmp_path / "r.csv", tmp_path / "g.csv", QUICK).n == 2
    combined = tmp_path / "b.csv"
    table(combined, ("caption_predicted", "caption_1"), [("x", "x")], encoding="utf-8-sig")
    assert score_captions(combined, metrics=QUICK).figures["rouge_l"].value == 1


def test_caption_of_ten_megabytes_is_scored(tmp_path):
    references = coco(tmp_path, [(7, "a dog barks"), (8, "rain falls")])
    rows = [{"image_id": 7, "caption": "yes, " * 2_000_000}, {"image_id": 8, "caption": "rain"}]
    found = score_captions(references, write(tmp_path / "results.json", rows), ["cider_d", *QUICK])
    assert found.figures["rouge_l"].value < 0.5
    assert found.figures["cider_d"].value >= 0


# -- the command ----------------------------------------------------------------------------------


def test_metrics_are_selected_by_name(tmp_path, audiocaps):
    given = table(tmp_path / "g.csv", ("id", "caption"), [("1", "a dog"), ("3", "rain")])
    assert list(score_captions(audiocaps, given, ["CIDEr-D,bleu-4"]).figures) == [
        "cider_d",
        "bleu_4",
    ]
    with pytest.raises(ConfigError, match="unknown metric 'bertscore'"):
        score_captions(audiocaps, given, ["bleu_1", "bertscore"])


def test_command_prints_scores_or_one_error(tmp_path, audiocaps):
    given = table(tmp_path / "g.csv", ("id", "caption"), [("1", "a dog barks"), ("3", "rain")])
    command = [sys.executable, "-m", "safe", "score", "captions", "--references", str(audiocaps)]
    command += ["--metrics", "rouge_l", "--metrics", "meteor", "--predictions"]
    environment = dict(os.environ) | {"PATH": ""}
    found = subprocess.run([*command, str(given)], capture_output=True, text=True, env=environment)
    lines = found.stdout.splitlines()
    assert (lines[0], found.stderr) == ("captions: 2 items", "")
    assert lines[1].split()[0] == "rouge_l"
    assert lines[2].split()[:2] == ["meteor", "unavailable:"]
    assert lines[3].startswith("tokenizer: regex")
    given.write_text("id,caption\n1,a dog\n", encoding="utf-8")
    found = subprocess.run([*command, str(given)], capture_output=True, text=True, env=environment)
    assert (found.returncode, found.stdout) == (2, "")
    assert "1 of 2 items have no caption (-bcdefghijk_0)" in found.stderr
    assert "Traceback" not in found.stderr
