"""Readers of all layouts, on small files of the published form and on broken ones."""

import json
from pathlib import Path

import pytest

from safe.errors import DataError
from safe.hearing.data.layouts import read_dataset
from safe.hearing.data.sample import Event
from tests import tiny_data
from tests.paths import SHARED
from tests.tiny_data import dataset


def read(config, problems=None):
    return list(read_dataset(config, problems))


# AudioCaps ---------------------------------------------------------------------------------------


def test_captions_of_one_clip_are_references_of_one_item(tmp_path):
    rows = [(1, "aaa", 10, "a dog barks"), (2, "bbb", 0, "rain"), (3, "aaa", 10, "barking dog")]
    tiny_data.write_audiocaps(tmp_path, "train", rows)
    first, second = read(dataset("audiocaps", tmp_path))
    assert first.answers == ("a dog barks", "barking dog")
    assert first.id == "audiocaps/train/1"
    assert first.source == "youtube:aaa@10"
    assert first.audio.path == tmp_path / "audio" / "aaa_10.wav"
    assert (second.task, second.answers, second.image) == ("caption", ("rain",), None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2,../../x,0,a", r"train\.csv:3 \[youtube_id\]: the id '\.\./\.\./x' is not a plain name"),
        ("2,..,0,a", "not a plain name"),
        ("1,bbb,0,a", r"train\.csv:3 \[audiocap_id\]: the id 1 is used by two rows"),
        ("2,bbb,soon,a", r"train\.csv:3 \[start_time\]"),
        ("2,bbb,0,", r"train\.csv:3 \[caption\]: the caption is empty"),
        ("2,bbb", "2 fields where the header has 4"),
    ],
)
def test_broken_audiocaps_rows_are_named(tmp_path, line, message):
    header = "audiocap_id,youtube_id,start_time,caption"
    (tmp_path / "train.csv").write_text(f"{header}\n1,aaa,0,a dog\n{line}\n")
    with pytest.raises(DataError, match=message):
        read(dataset("audiocaps", tmp_path))


def test_missing_folder_file_or_row_is_named(tmp_path):
    with pytest.raises(DataError, match="the dataset folder is missing"):
        read(dataset("audiocaps", tmp_path / "nowhere"))
    with pytest.raises(DataError, match="annotation file of split 'train' is missing"):
        read(dataset("audiocaps", tmp_path))
    (tmp_path / "train.csv").write_text("audiocap_id,youtube_id,start_time,caption\n")
    with pytest.raises(DataError, match=r"split 'train' .* has no samples"):
        read(dataset("audiocaps", tmp_path))


def test_unknown_option_and_pattern_outside_the_root_are_refused(tmp_path):
    tiny_data.write_audiocaps(tmp_path, "train", [(1, "aaa", 0, "a")])
    with pytest.raises(DataError, match="unknown option 'event'; did you mean 'events'"):
        read(dataset("audiocaps", tmp_path, options={"event": "x"}))
    for pattern in ("../{youtube_id}", "/{youtube_id}", "{nothing}", "{youtube_id.__class__}", "{"):
        with pytest.raises(DataError, match="media pattern"):
            read(dataset("audiocaps", tmp_path, options={"audio": pattern}))


@pytest.mark.parametrize(
    ("options", "file"),
    [
        ({}, "audio/aaa_0.WAV"),
        ({}, "audio/aaa_0.m4a"),
        ({}, "audio/aaa_0.Opus"),
        ({"audio": "{youtube_id}.m4a"}, "aaa.m4a"),
        ({"audio": "{youtube_id}.m4a"}, "aaa.M4A"),
        ({"audio": "{youtube_id}.WAV"}, "aaa.wav"),
        ({"audio": "{youtube_id}.xyz"}, "aaa.xyz"),
        ({"audio": "{youtube_id}.v2"}, "aaa.v2.flac"),
    ],
)
def test_suffix_of_a_sound_is_found(tmp_path, options, file):
    tiny_data.write_audiocaps(tmp_path, "train", [(1, "aaa", 0, "a")], media=False)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    (sample,) = read(dataset("audiocaps", tmp_path, options=options))
    assert sample.audio.path == tmp_path / file


def test_missing_sound_keeps_the_suffix_of_its_pattern(tmp_path):
    tiny_data.write_audiocaps(tmp_path, "train", [(1, "aaa", 0, "a")], media=False)
    (sample,) = read(dataset("audiocaps", tmp_path, options={"audio": "{youtube_id}.m4a"}))
    assert sample.audio.path == tmp_path / "aaa.m4a"


@pytest.mark.parametrize("caption", ["nan", "NaN", "null", "N/A"])
def test_caption_that_looks_like_a_missing_value_is_noted(tmp_path, caption):
    rows = [(1, "aaa", 0, "a dog"), (2, "bbb", 0, caption)]
    tiny_data.write_audiocaps(tmp_path, "train", rows, media=False)
    problems = []
    assert len(read(dataset("audiocaps", tmp_path), problems)) == 2
    assert [(p.count, p.examples) for p in problems] == [(1, (f"{caption!r} (line 3)",))]


def test_table_of_clotho_is_named_to_audiocaps(tmp_path):
    (tmp_path / "train.csv").write_text("file_name," + CLOTHO_HEADER + "\n")
    with pytest.raises(DataError) as caught:
        read(dataset("audiocaps", tmp_path))
    assert "clotho" in caught.value.hint
    (tmp_path / "train.csv").write_text("filename,scene_label\n")  # as in DCASE's scenes
    with pytest.raises(DataError) as caught:
        read(dataset("audiocaps", tmp_path))
    assert "audiocap_id" in caught.value.hint
    assert "caption_5" in caught.value.hint


# Clotho ------------------------------------------------------------------------------------------

CLOTHO_HEADER = "caption_1,caption_2,caption_3,caption_4,caption_5"


def test_clotho_is_read(tmp_path):
    name = "Distorted AM Radio noise (1).wav"
    (tmp_path / "clotho_captions_evaluation.csv").write_text(
        f'file_name,{CLOTHO_HEADER}\n{name},"one, two",b,c,d,e\n'
    )
    (sample,) = read(dataset("clotho", tmp_path, splits={"test": "evaluation"}))
    assert sample.answers == ("one, two", "b", "c", "d", "e")
    assert sample.audio.path == tmp_path / "evaluation" / name
    assert (sample.task, sample.answer, sample.source) == ("caption", "one, two", f"clotho:{name}")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("../x.wav,a,b,c,d,e", "file_name"),
        (".wav,a,b,c,d,e", "file_name"),
        ("a.wav,a,b,c,d,e", "file_name"),
        ("b.wav,a,b,,d,e", "caption_3"),
    ],
)
def test_broken_clotho_rows_are_named(tmp_path, line, key):
    path = tmp_path / "clotho_captions_development.csv"
    path.write_text(f"file_name,{CLOTHO_HEADER}\na.wav,a,b,c,d,e\n{line}\n")
    with pytest.raises(DataError) as caught:
        read(dataset("clotho", tmp_path, splits={"train": "development"}))
    assert (caught.value.line, caught.value.key) == (3, key)


# -------------------------------------------------------------------------------------------------


def test_limit_applies_to_each_split(tmp_path):
    for split in ("train", "val"):
        rows = [(i, f"{split}{i}", 0, "a") for i in range(5)]
        tiny_data.write_audiocaps(tmp_path, split, rows, media=False)
    config = dataset("audiocaps", tmp_path, splits={"train": "train", "val": "val"}, limit=2)
    assert [s.split for s in read(config)] == ["train", "train", "val", "val"]


def test_events_in_ave_format_are_attached(tmp_path):
    tiny_data.write_audiocaps(tmp_path, "train", [(1, "aaa", 0, "a")], media=False)
    events = tmp_path / "Annotations.txt"
    events.write_text(
        "Category&VideoID&Quality&StartTime&EndTime\nbell&aaa&good&3&5\nChurch bell&aaa&good&0&2\n"
    )
    (sample,) = read(dataset("audiocaps", tmp_path, options={"events": "Annotations.txt"}))
    assert sample.events == (Event("Church bell", 0, 2, "both"), Event("bell", 3, 5, "both"))
    events.write_text("Category&VideoID&Quality&StartTime&EndTime\nbell&aaa&good&5&3\n")
    with pytest.raises(DataError, match=r"Annotations\.txt:2 .*not an interval"):
        read(dataset("audiocaps", tmp_path, options={"events": "Annotations.txt"}))


# VQA v2 ------------------------------------------------------------------------------------------


def test_vqa_questions_match_annotations_in_any_order(tmp_path):
    rows = [(i, 100 + i, "what color is it", f"c{i}") for i in range(6)]
    tiny_data.write_vqav2(tmp_path, "train", rows)
    path = tmp_path / "v2_mscoco_train_annotations.json"
    found = json.loads(path.read_text())
    found["annotations"].reverse()
    path.write_text(json.dumps(found))
    samples = read(dataset("vqav2", tmp_path))
    assert [s.answer for s in samples] == [f"c{i}" for i in range(6)]
    assert samples[0].source == "coco:100"
    assert samples[0].image.path.name == "COCO_train_000000000100.png"
    assert len(samples[0].answers) == 10


def test_nul_in_a_question_is_named(tmp_path):
    tiny_data.write_vqav2(tmp_path, "train", [(1, 7, "is it", "yes"), (2, 7, "is\0it", "no")])
    with pytest.raises(DataError) as caught:
        read(dataset("vqav2", tmp_path))
    assert (caught.value.key, caught.value.what) == ("question", "contains a NUL character")


def test_vqa_faults_are_named(tmp_path):
    tiny_data.write_vqav2(tmp_path, "train", [(1, 7, "is it", "yes"), (2, 7, "is it", "no")])
    path = tmp_path / "v2_mscoco_train_annotations.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"annotations\.json:1: broken JSON.*cut off"):
        read(dataset("vqav2", tmp_path))
    path.write_text(whole.replace('"question_id": 2', '"question_id": 3'))
    with pytest.raises(DataError, match="question 2 has no annotation"):
        read(dataset("vqav2", tmp_path))
    path.write_text(whole.replace('"answers"', '"replies"', 1))
    with pytest.raises(DataError, match=r"\[answers\]: the key 'answers' is missing"):
        read(dataset("vqav2", tmp_path))


def test_real_vqa_annotations_are_read(tmp_path):
    """100 real annotations with ten answers each; the questions are made up."""
    folder = SHARED / "data" / "vqav2_samples"
    path = folder / "v2_mscoco_val2014_annotations.json_samples.json"
    if not path.is_file():
        pytest.skip("the VQA v2 samples are not on this machine")
    rows = json.loads(path.read_text())["annotations"]
    questions = [
        {"question_id": r["question_id"], "image_id": r["image_id"], "question": "What is it?"}
        for r in rows
    ]
    (tmp_path / "q.json").write_text(json.dumps({"questions": questions}))
    config = dataset(
        "vqav2", tmp_path, splits={"val": "val2014"},
        annotations={"val": path, "val_questions": "q.json"},
    )  # fmt: skip
    samples = read(config)
    assert len(samples) == len(rows)
    assert all(len(s.answers) == 10 for s in samples)
    assert samples[0].answers == tuple(a["answer"] for a in rows[0]["answers"])


# GQA ---------------------------------------------------------------------------------------------

GQA_ROW = {
    "imageId": "n161313",
    "question": "Is it red?",
    "answer": "yes",
    "types": {"structural": "verify"},
    "semantic": [{}, {}, {}],
}


def test_gqa_rows_are_read_and_faults_are_named(tmp_path):
    path = tmp_path / "train_balanced_questions.json"
    path.write_text(json.dumps({"05515938": GQA_ROW}))
    (sample,) = read(dataset("gqa", tmp_path))
    assert (sample.id, sample.source) == ("gqa/train/05515938", "gqa:n161313")
    assert (sample.question_type, sample.difficulty) == ("verify", "medium")
    assert sample.image.path == tmp_path / "images" / "n161313.jpg"
    path.write_text(json.dumps({"05515938": GQA_ROW | {"imageId": "../../x"}}))
    with pytest.raises(DataError, match="not a plain name"):
        read(dataset("gqa", tmp_path))
    path.write_text(f'{{"1": {json.dumps(GQA_ROW)},\n"1": {json.dumps(GQA_ROW)}}}')
    with pytest.raises(DataError, match=r"json:2 \[1\]: the id 1 is used by two rows"):
        read(dataset("gqa", tmp_path))


# MUSIC-AVQA --------------------------------------------------------------------------------------


def avqa(number=1, **more):
    row = {
        "video_id": "00000028",
        "question_id": number,
        "type": '["Audio-Visual", "Existential"]',
        "question_content": "Is the <Object> on the <LR> playing?",
        "templ_values": '["flute", "left"]',
        "question_deleted": 0,
        "anser": "yes",
    }
    return row | more


def write_avqa(root: Path, rows: list) -> None:
    (root / "avqa-train.json").write_text(json.dumps(rows, indent=2))


def test_slots_are_filled_in_order_and_tasks_follow_the_type(tmp_path):
    write_avqa(
        tmp_path,
        [
            avqa(1),
            avqa(2, type='["Visual", "Counting"]'),
            avqa(3, type='["Audio", "Comparative"]'),
            avqa(4, question_deleted=1),
        ],
    )
    problems = []
    first, second, third = read(dataset("music_avqa", tmp_path), problems)
    assert first.question == "Is the flute on the left playing?"
    assert [s.task for s in (first, second, third)] == ["av", "vl", "audio"]
    assert second.audio is None
    assert first.image.path == first.audio.path == tmp_path / "videos" / "00000028.mp4"
    assert first.image.frame == 1.0
    assert first.source == "video:00000028"
    assert [(p.count, p.what) for p in problems] == [(1, "rows marked question_deleted, left out")]


def test_question_published_twice_with_two_answers_is_one_item_and_is_counted(tmp_path):
    write_avqa(tmp_path, [avqa(1), avqa(1, anser="no")])
    problems = []
    (sample,) = read(dataset("music_avqa", tmp_path), problems)
    assert sample.answers == ("yes", "no")
    assert problems[0].count == 1
    assert "question 1: yes / no" in problems[0].examples[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (avqa(1), "the id 1 is used by two rows"),
        (avqa(1, video_id="00000029", anser="no"), "the id 1 is used by two rows"),
        (avqa(2, templ_values='["flute"]'), r"\[templ_values\]: 1 values for 2 slots"),
        (avqa(2, templ_values="flute"), "not a JSON list"),
        (avqa(2, type='["Smell", "Counting"]'), r"\[type\]: unknown type"),
        (avqa(2, video_id="../../x"), r"json:11 \[video_id\]: the id"),
        ({k: v for k, v in avqa(2).items() if k != "anser"}, "the key 'anser' is missing"),
    ],
)
def test_broken_avqa_rows_are_named(tmp_path, row, message):
    write_avqa(tmp_path, [avqa(1), row])
    with pytest.raises(DataError, match=message):
        read(dataset("music_avqa", tmp_path))
