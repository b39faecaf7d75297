"""Faulty files from outside: each gives one error with file and hint."""

import json

import pytest

from safe.errors import DataError
from safe.scoring.accuracy import score_gqa, score_music_avqa, score_vqav2
from tests.unit.scoring.files import gqa_row, music_row, results_file, vqa_file, vqa_row, write

HUMANS = ["yes"] * 9 + ["no"]
GOOD = [{"question_id": 1, "answer": "yes"}]


@pytest.fixture
def annotations(tmp_path):
    return vqa_file(tmp_path, [vqa_row(1, HUMANS)])


def refused(call, *files, allow_incomplete=True) -> str:
    """Return the text of the error, which names a file and a hint."""
    with pytest.raises(DataError) as caught:
        call(*files, allow_incomplete=allow_incomplete)
    text = str(caught.value)
    assert any(str(file) in text for file in files)
    assert "\n  hint: " in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*GOOD, {"question_id": 1, "answer": "yes"}],
            "1 answers to questions that already have one",
        ),
        ([*GOOD, {"question_id": "1", "answer": "no"}], "1 answers to questions that already have"),
        ([{"question_id": 1, "answer": 3}], "expected str, found 3"),
        ([{"question_id": 1, "answer": None}], "expected str, found null"),
        ([{"question_id": 1, "answer": ["yes"]}], "expected str"),
        ([{"question_id": 1}], "the key 'answer' is missing"),
        ([{"answer": "yes"}], "the key 'question_id' is missing"),
        ([{"question_id": True, "answer": "yes"}], "found true"),
        ([{"question_id": 1.0, "answer": "yes"}], "found 1.0"),
        ([{"question_id": "one", "answer": "yes"}], "the id 'one' is not a number"),
        ([{"question_id": "9" * 5000, "answer": "yes"}], "is not a number"),
        ([{"question_id": "²", "answer": "yes"}], "is not a number"),
        (["yes"], "the key 'question_id' is missing"),
        ([None], "the key 'question_id' is missing"),
        ({"1": "yes"}, "the file is an object; the format requires a list"),
        ("yes", "broken JSON"),
    ],
)
def test_invalid_results_are_refused(tmp_path, annotations, rows, message):
    assert message in refused(score_vqav2, annotations, write(tmp_path / "results.json", rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(GOOD).encode("utf-16"), "not UTF-8"),
        (json.dumps(GOOD).encode("utf-16-le"), "broken JSON"),
        ('[{"question_id": 1, "answer": "café"}]'.encode("latin-1"), "not UTF-8 (byte 0xe9)"),
        (json.dumps(GOOD).encode()[:-4], "cut off"),
        (json.dumps(GOOD).encode()[:-1], "cut off"),
        (b"", "cut off"),
        (b"question_id,answer\n1,yes\n", "broken JSON"),
        (json.dumps(GOOD).encode() + b" and more", "text after the end"),
        (b"[" * 100_000, "cannot be parsed"),
        (b'[{"question_id": ' + b"9" * 5000 + b', "answer": "yes"}]', "cannot be parsed"),
    ],
)
def test_results_that_are_not_utf_8_json_are_refused(tmp_path, annotations, content, message):
    results = tmp_path / "results.json"
    results.write_bytes(content)
    assert message in refused(score_vqav2, annotations, results)


def test_byte_order_mark_is_accepted(tmp_path, annotations):
    results = write(tmp_path / "results.json", GOOD, encoding="utf-8-sig")
    assert score_vqav2(annotations, results).figures["accuracy"].value == 100


def test_missing_file_and_folder_are_refused(tmp_path, annotations):
    assert "cannot be read" in refused(score_vqav2, annotations, tmp_path / "none.json")
    assert "cannot be read" in refused(score_vqav2, annotations, tmp_path)


def test_answer_of_ten_megabytes_is_scored(tmp_path, annotations):
    results = results_file(tmp_path, {1: "yes, " * 2_000_000})
    assert score_vqav2(annotations, results).figures["accuracy"].value == 0


def test_error_does_not_repeat_a_very_long_value(tmp_path, annotations):
    results = write(tmp_path / "results.json", [{"question_id": "x" * 10**6, "answer": "yes"}])
    refused(score_vqav2, annotations, results)
    results = write(tmp_path / "results.json", [{"question_id": 1, "answer": ["x" * 10**6]}])
    refused(score_vqav2, annotations, results)


def test_error_in_a_file_of_one_line_names_the_question(tmp_path):
    """Dumped files are one line, so a line number is not enough."""
    rows = [vqa_row(1, HUMANS), vqa_row(52, HUMANS)]
    results = write(tmp_path / "results.json", [*GOOD, {"question_id": 52, "answer": None}])
    message = refused(score_vqav2, vqa_file(tmp_path, rows), results)
    assert "results.json:1 [answer]: question 52: expected str, found null" in message
    rows[1]["answers"][4]["answer"] = 7
    assert "question 52: expected str, found 7" in refused(
        score_vqav2, vqa_file(tmp_path, rows), results
    )
    for row in (gqa_row(""), {"question": "What?"}, gqa_row("yes", types={"structural": "query"})):
        questions = write(tmp_path / "questions.json", {"1": gqa_row("yes"), "052": row})
        assert "question 052: " in refused(score_gqa, questions, results)
    for row in (music_row(52, ""), music_row(52, "two", kind="[]")):
        questions = write(tmp_path / "avqa-test.json", [music_row(1, "two"), row])
        assert "question 52: " in refused(score_music_avqa, questions, results)


@pytest.mark.parametrize("native", ["x" * 10**6, "\x1b[2J\n52", "\ud800"])
def test_invalid_id_is_shown_shortened_and_escaped(tmp_path, native):
    row, name = json.dumps(gqa_row("yes")), json.dumps(native)
    questions = tmp_path / "questions.json"
    questions.write_text(f"{{{name}: {row}, {name}: {row}}}", encoding="utf-8")
    results = write(tmp_path / "results.json", [{"questionId": "1", "prediction": "yes"}])
    messages = refused(score_gqa, questions, results)
    questions.write_text(f"{{{name}: {row}}}", encoding="utf-8")
    messages += refused(score_gqa, questions, results, allow_incomplete=False)
    messages += refused(score_gqa, questions, write(results, [{"questionId": native}]))
    assert messages.count("\n") == 3  # one line break before each hint
    assert messages.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([vqa_row(1, HUMANS[:9])], "question 1 has 9 human answers; VQA accuracy needs 10"),
        ([vqa_row(1, [])], "question 1 has 0 human answers"),
        ([vqa_row(1, HUMANS), vqa_row(1, HUMANS)], "the id 1 is used by two rows"),
        ([vqa_row(1, HUMANS) | {"answers": "yes"}], "expected list"),
        ([vqa_row(1, HUMANS) | {"answers": ["yes"] * 10}], "the key 'answer' is missing"),
        ([vqa_row(1, [3] * 10)], "expected str, found 3"),
        ([{k: v for k, v in vqa_row(1, HUMANS).items() if k != "answer_type"}], "'answer_type'"),
        ([], "no question to score"),
    ],
)
def test_invalid_vqa_annotations_are_refused(tmp_path, rows, message):
    results = write(tmp_path / "results.json", GOOD)
    assert message in refused(score_vqav2, vqa_file(tmp_path, rows), results)


def test_other_files_in_place_of_annotations_are_refused(tmp_path):
    results = write(tmp_path / "results.json", GOOD)
    questions = write(tmp_path / "questions.json", {"questions": []})
    assert "no list under the key 'annotations'" in refused(score_vqav2, questions, results)
    assert "the file is a list; the format requires an object" in refused(
        score_vqav2, results, results
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"1": gqa_row("")}, "the correct answer is empty"),
        ({"1": gqa_row(" ")}, "the correct answer is empty"),
        ({"1": {"question": "What?"}}, "the key 'answer' is missing"),
        ({"1": gqa_row("yes", types="verify")}, "expected dict"),
        ({"1": gqa_row("yes", types={"semantic": "rel"})}, "the key 'structural' is missing"),
        ({"1": "yes"}, "the key 'answer' is missing"),
        ({"1": gqa_row("yes", isBalanced=False)}, "no question to score"),
        ({}, "no question to score"),
        ([], "the file is a list; the format requires an object"),
    ],
)
def test_invalid_gqa_questions_are_refused(tmp_path, rows, message):
    results = write(tmp_path / "results.json", [{"questionId": "1", "prediction": "yes"}])
    assert message in refused(score_gqa, write(tmp_path / "questions.json", rows), results)


def test_repeated_gqa_question_is_refused(tmp_path):
    row = json.dumps(gqa_row("yes"))
    questions = tmp_path / "questions.json"
    questions.write_text(f'{{"1": {row}, "1": {row}}}', encoding="utf-8")
    results = write(tmp_path / "results.json", [{"questionId": "1", "prediction": "yes"}])
    assert "the id 1 is used by two rows" in refused(score_gqa, questions, results)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([music_row(1, "two"), music_row(1, "two")], "the id 1 is used by two rows"),
        (
            [music_row(1, "two"), music_row(1, "one", video_id="00000094")],
            "the id 1 is used by two rows",
        ),
        ([music_row(1, "")], "the correct answer is empty"),
        ([music_row(1, "two", kind="Audio")], "unknown type 'Audio'"),
        ([music_row(1, "two", kind='["Smell", "Counting"]')], "unknown type"),
        ([music_row(1, "two", kind='["Audio"]')], "unknown type"),
        ([music_row(1, "two", kind="[[1], 2]")], "unknown type"),
        ([music_row(1, "two", kind=["Audio", "Counting"])], "expected str"),
        ([music_row(1, "two", question_deleted=1)], "no question to score"),
        ({"1": "two"}, "the file is an object; the format requires a list"),
    ],
)
def test_invalid_music_avqa_questions_are_refused(tmp_path, rows, message):
    questions = write(tmp_path / "avqa-test.json", rows)
    results = write(tmp_path / "results.json", GOOD)
    assert message in refused(score_music_avqa, questions, results)
