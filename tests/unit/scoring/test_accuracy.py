"""Accuracy: small files by hand, published samples, and mismatched ids."""

import json
import random
from collections import Counter

import pytest

from safe.errors import DataError
from safe.scoring.accuracy import score_gqa, score_music_avqa, score_vqav2
from tests.paths import SHARED
from tests.unit.scoring.files import gqa_row, music_row, results_file, vqa_file, vqa_row, write

DATA = SHARED / "data"
SAMPLES = DATA / "vqav2_samples" / "v2_mscoco_val2014_annotations.json_samples.json"
MUSIC = DATA / "music_avqa" / "avqa-test.json"
YES, MIXED = ["yes"] * 10, ["red"] * 2 + ["blue"] * 8


def values(scored) -> dict:
    return {name: figure.value for name, figure in scored.figures.items()}


# -- VQA v2 ---------------------------------------------------------------------------------------


def most_common(humans):
    return Counter(humans).most_common(1)[0][0]


@pytest.mark.parametrize(
    ("choose", "expected"),
    [(most_common, 98.4), (lambda humans: "yes", 23.3), (lambda humans: humans[0], 90.5)],
)
def test_published_samples_have_the_accuracy_of_the_official_code(tmp_path, choose, expected):
    if not SAMPLES.is_file():
        pytest.skip("the VQA v2 samples are not on this machine")
    rows = json.loads(SAMPLES.read_text(encoding="utf-8"))["annotations"]
    answers = {r["question_id"]: choose([a["answer"] for a in r["answers"]]) for r in rows}
    scored = score_vqav2(SAMPLES, results_file(tmp_path, answers))
    assert scored.n == 100
    assert scored.figures["accuracy"].value == pytest.approx(expected, abs=1e-6)
    shares = {k: v for k, v in scored.sizes.items() if k.startswith("by_answer_type.")}
    assert sum(shares.values()) == 100
    parts = sum(scored.figures[name].value * n for name, n in shares.items()) / 100
    assert parts == pytest.approx(expected, abs=1e-6)


def vqa_rows():
    return [
        vqa_row(1, YES, "yes/no", "is the"),
        vqa_row(2, YES, "yes/no", "are there"),
        vqa_row(3, MIXED, "other", "what color is the"),
        vqa_row(4, MIXED, "other", "is the"),
    ]


ANSWERS = {1: "yes", 2: "no", 3: "red", 4: "Blue."}


def test_vqa_by_type(tmp_path):
    scored = score_vqav2(vqa_file(tmp_path, vqa_rows()), results_file(tmp_path, ANSWERS))
    assert values(scored) == pytest.approx(
        {
            "accuracy": 65.0,
            "by_answer_type.other": 80.0,
            "by_answer_type.yes/no": 50.0,
            "by_question_type.are there": 0.0,
            "by_question_type.is the": 100.0,
            "by_question_type.what color is the": 60.0,
        }
    )
    assert scored.sizes["by_question_type.is the"] == 2
    assert (scored.task, scored.n, scored.unit) == ("vqav2", 4, "%")


def test_order_of_either_file_does_not_change_a_bit(tmp_path):
    rows = [
        vqa_row(i, ["red"] * (i % 11) + ["blue"] * (10 - i % 11), f"t{i % 3}") for i in range(300)
    ]
    answers = dict.fromkeys(range(300), "red")
    first = score_vqav2(vqa_file(tmp_path, rows), results_file(tmp_path, answers))
    for seed in range(5):
        shuffle = random.Random(seed).shuffle
        shuffle(rows)
        for row in rows:
            shuffle(row["answers"])
        shuffled = list(answers.items())
        shuffle(shuffled)
        again = score_vqav2(vqa_file(tmp_path, rows), results_file(tmp_path, dict(shuffled)))
        assert again == first


def test_ids_may_be_digit_strings(tmp_path):
    annotations = vqa_file(tmp_path, vqa_rows())
    as_numbers = score_vqav2(annotations, results_file(tmp_path, ANSWERS))
    as_text = results_file(tmp_path, {str(i): answer for i, answer in ANSWERS.items()})
    assert score_vqav2(annotations, as_text) == as_numbers


def test_unanswered_and_unknown_ids_are_refused_together(tmp_path):
    annotations = vqa_file(tmp_path, vqa_rows())
    results = results_file(tmp_path, {1: "yes", 3: "red", 77: "no"})
    with pytest.raises(DataError) as caught:
        score_vqav2(annotations, results)
    text = str(caught.value)
    assert "results.json: 2 of 4 questions have no answer (2, 4)" in text
    assert "1 answers are to questions that are not in annotations.json (77)" in text
    assert "--allow-incomplete" in text


def test_allow_incomplete_counts_missing_answers_as_wrong(tmp_path):
    annotations = vqa_file(tmp_path, vqa_rows())
    results = results_file(tmp_path, {1: "yes", 3: "red", 77: "no"})
    scored = score_vqav2(annotations, results, allow_incomplete=True)
    assert scored.n == 4
    assert scored.counts == {"unanswered": 2, "unknown": 1}
    assert scored.figures["accuracy"].value == pytest.approx(40.0)
    assert scored.sizes["by_answer_type.yes/no"] == 2
    nothing = score_vqav2(annotations, results_file(tmp_path, {}), allow_incomplete=True)
    assert nothing.figures["accuracy"].value == 0
    assert nothing.counts["unanswered"] == 4


def test_unanswered_question_is_wrong_even_if_an_empty_answer_were_correct(tmp_path):
    annotations = vqa_file(tmp_path, [vqa_row(1, ["the"] * 9 + ["a"])])
    assert (
        score_vqav2(annotations, results_file(tmp_path, {1: ""})).figures["accuracy"].value == 100
    )
    missing = score_vqav2(annotations, results_file(tmp_path, {}), allow_incomplete=True)
    assert missing.figures["accuracy"].value == 0


# -- GQA ------------------------------------------------------------------------------------------


def gqa_file(folder, rows):
    return write(folder / "val_balanced_questions.json", rows)


def gqa_results(folder, answers):
    rows = [{"questionId": native, "prediction": text} for native, text in answers.items()]
    return write(folder / "gqa_results.json", rows)


def test_gqa_by_type(tmp_path):
    rows = {
        "01": gqa_row("yes", "verify", "rel"),
        "02": gqa_row("red", "query", "attr"),
        "03": gqa_row("blue", "query", "attr", isBalanced=True),
        "04": gqa_row("no", "logical", "obj"),
        "05": gqa_row("table", "query", "obj", isBalanced=False),
    }
    answers = {"01": "Yes", "02": "red", "03": "red", "04": "yes", "05": "table"}
    annotations = gqa_file(tmp_path, rows)
    scored = score_gqa(annotations, gqa_results(tmp_path, answers))
    assert values(scored) == {
        "accuracy": 50.0,
        "by_answer_type.binary": 50.0,
        "by_answer_type.open": 50.0,
        "by_semantic_type.attr": 50.0,
        "by_semantic_type.obj": 0.0,
        "by_semantic_type.rel": 100.0,
        "by_structural_type.logical": 0.0,
        "by_structural_type.query": 50.0,
        "by_structural_type.verify": 100.0,
    }
    assert scored.n == 4
    assert scored.counts["not_balanced_left_out"] == 1
    assert score_gqa(annotations, results_file(tmp_path, answers)) == scored


def test_gqa_without_types_gives_the_reason_for_missing_figures(tmp_path):
    annotations = gqa_file(tmp_path, {"1": gqa_row("yes"), "2": gqa_row("no")})
    scored = score_gqa(annotations, gqa_results(tmp_path, {"1": "yes", "2": "yes"}))
    assert scored.figures["accuracy"].value == 50
    assert scored.figures["by_structural_type"].value is None
    assert "types" in scored.figures["by_structural_type"].reason
    assert "unavailable: no question of the file has `types`" in scored.as_text()
    some = gqa_file(tmp_path, {"1": gqa_row("yes"), "2": gqa_row("no", "verify")})
    scored = score_gqa(some, gqa_results(tmp_path, {"1": "yes", "2": "no"}))
    assert scored.sizes["by_structural_type.verify"] == 1
    assert scored.counts["without_types"] == 1


def test_gqa_id_as_a_number_is_refused(tmp_path):
    annotations = gqa_file(tmp_path, {"02": gqa_row("yes")})
    with pytest.raises(DataError, match="expected str, found 2"):
        score_gqa(annotations, gqa_results(tmp_path, {2: "yes"}))


# -- MUSIC-AVQA -----------------------------------------------------------------------------------


def test_music_avqa_by_type_skips_deleted_and_accepts_either_of_two_answers(tmp_path):
    rows = [
        music_row(1, "two"),
        music_row(2, "yes", '["Audio", "Comparative"]'),
        music_row(3, "left", '["Visual", "Location"]'),
        music_row(4, "yes", '["Audio-Visual", "Temporal"]', question_deleted=1),
        music_row(5, "yes", '["Audio-Visual", "Existential"]'),
        music_row(5, "no", '["Audio-Visual", "Existential"]'),
    ]
    annotations = write(tmp_path / "avqa-test.json", rows)
    answers = {1: "two", 2: "no", 3: "Left", 4: "yes", 5: "no"}
    scored = score_music_avqa(annotations, results_file(tmp_path, answers))
    assert values(scored) == {
        "accuracy": 75.0,
        "by_modality.Audio": 50.0,
        "by_modality.Audio-Visual": 100.0,
        "by_modality.Visual": 100.0,
        "by_type.Audio Comparative": 0.0,
        "by_type.Audio Counting": 100.0,
        "by_type.Audio-Visual Existential": 100.0,
        "by_type.Visual Location": 100.0,
    }
    assert scored.n == 4
    assert scored.counts == {
        "unanswered": 0,
        "unknown": 0,
        "deleted_left_out": 1,
        "with_several_answers": 1,
    }
    del answers[4]
    assert values(score_music_avqa(annotations, results_file(tmp_path, answers))) == values(scored)


def test_published_music_avqa_answers_score_100_percent(tmp_path):
    if not MUSIC.is_file():
        pytest.skip("the published annotations of music_avqa are not on this machine")
    rows = json.loads(MUSIC.read_text(encoding="utf-8"))
    for pick in (rows, rows[::-1]):  # the last of a question's two answers, then the first
        results = results_file(tmp_path, {row["question_id"]: row["anser"] for row in pick})
        scored = score_music_avqa(MUSIC, results)
        assert set(values(scored).values()) == {100.0}
    assert (scored.n, scored.counts["with_several_answers"]) == (9130, 55)
    kinds = [name for name in scored.figures if name.startswith("by_type.")]
    assert len(kinds) == 9
    assert sum(scored.sizes[name] for name in kinds) == 9130
