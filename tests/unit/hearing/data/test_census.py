"""The census counts the annotation files as the readers should, without their code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safe.errors import DataError
from safe.hearing.data.census import take_census
from safe.hearing.data.layouts import read_dataset
from safe.hearing.miniature.world import write_world
from tests.tiny_data import dataset, write_audiocaps, write_vqav2

SPLITS = {
    "audiocaps": {"train": "train", "val": "val", "test": "test"},
    "vqav2": {"train": "train2014", "val": "val2014", "test": "test2015"},
    "gqa": {"train": "train", "val": "val", "test": "testdev"},
    "music_avqa": {"train": "train", "val": "val", "test": "test"},
}
CAPTIONS = [(1, "a", 0, "a bell"), (2, "a", 0, "a bell rings"), (3, "b", 30, 'a "drum", loud')]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("census") / "world"
    write_world(root, seed=1, clips=30, images=30, videos=30, faults=[])
    return root


@pytest.mark.parametrize("layout", SPLITS)
@pytest.mark.parametrize("limit", [None, 7])
def test_census_has_the_rows_and_media_of_the_reader(
    world: Path, layout: str, limit: int | None
) -> None:
    config = dataset(layout, world / layout, splits=SPLITS[layout], limit=limit)
    samples = list(read_dataset(config))
    for census in take_census(config):
        own = [sample for sample in samples if sample.split == census.split]
        prefix = f"{layout}/{census.split}/"
        assert census.rows == {sample.id.removeprefix(prefix) for sample in own}
        media = {ref.path for sample in own for ref in (sample.image, sample.audio) if ref}
        assert len(census.media) == len(media)
        assert limit is None or len(census.rows) <= limit


def test_captions_of_one_clip_are_one_row(tmp_path: Path) -> None:
    write_audiocaps(tmp_path, "train", CAPTIONS, media=False)
    (census,) = take_census(dataset("audiocaps", tmp_path))
    assert census.rows == {"1", "3"}
    assert census.media == {"a_0", "b_30"}


def test_clips_of_clotho_are_counted(tmp_path: Path) -> None:
    lines = ["file_name," + ",".join(f"caption_{n}" for n in range(1, 6))]
    lines += [f"{name},{','.join(['a sound'] * 5)}" for name in ("One, two.wav", "b.wav")]
    lines[1] = '"One, two.wav"' + lines[1].removeprefix("One, two.wav")
    (tmp_path / "clotho_captions_train.csv").write_text("\n".join(lines) + "\n")
    config = dataset("clotho", tmp_path)
    (census,) = take_census(config)
    assert census.rows == {"One, two.wav", "b.wav"}
    assert {sample.id for sample in read_dataset(config)} == {
        f"clotho/train/{name}" for name in census.rows
    }


def test_questions_marked_as_deleted_are_no_rows(tmp_path: Path) -> None:
    rows = [
        {"question_id": 1, "video_id": "v1"},
        {"question_id": 2, "video_id": "v2", "question_deleted": 1},
        {"question_id": 1, "video_id": "v1"},  # published again with another answer
    ]
    (tmp_path / "avqa-train.json").write_text(json.dumps(rows))
    (census,) = take_census(dataset("music_avqa", tmp_path))
    assert (census.rows, census.media) == ({"1"}, {"v1"})


@pytest.mark.parametrize("content", ["", '{"questions": [', '{"questions": [{}]}', "[1, 2]"])
def test_broken_file_names_the_dataset_and_split(tmp_path: Path, content: str) -> None:
    write_vqav2(tmp_path, "train", [(1, 1, "what is it", "a cat")], media=False)
    config = dataset("vqav2", tmp_path)
    (tmp_path / "v2_OpenEnded_mscoco_train_questions.json").write_text(content)
    if content == "[1, 2]":  # well-formed, without a question
        assert [len(census.rows) for census in take_census(config)] == [0]
        return
    with pytest.raises(DataError) as found:
        take_census(config)
    assert found.value.key == "datasets.vqav2.splits.train"
