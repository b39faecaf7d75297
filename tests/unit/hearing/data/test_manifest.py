"""The manifest: round trip of any sample, and a digest that ignores folders."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import DataError
from safe.hearing.data.manifest import load_samples, write_manifest
from safe.hearing.data.sample import Event, MediaRef, Sample

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
seconds = st.floats(0, 100, allow_nan=False)
refs = st.builds(
    MediaRef,
    path=st.sampled_from([Path("/a/b.wav"), Path("/c/é d.mp4")]),
    start=seconds,
    duration=st.none() | seconds,
    frame=st.none() | seconds,
)
events = st.builds(Event, text, seconds, seconds, st.sampled_from(["audio", "visual", "both"]))
samples = st.builds(
    Sample,
    id=text,
    dataset=st.sampled_from(["one", "two"]),
    split=st.sampled_from(["train", "val", "test"]),
    task=st.sampled_from(["vl", "audio", "av", "caption"]),
    question=text,
    question_type=text,
    answers=st.lists(text, min_size=1, max_size=3).map(tuple),
    answer=text,
    source=text,
    image=st.none() | refs,
    audio=st.none() | refs,
    difficulty=st.sampled_from(["easy", "medium", "hard"]),
    events=st.lists(events, max_size=2).map(tuple),
    labels=st.dictionaries(text, text, max_size=2),
    image_source=text,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(samples, max_size=6), st.integers(0, 8))
def test_round_trip_and_filters(tmp_path_factory, written, limit):
    path = tmp_path_factory.mktemp("m") / "manifest.parquet"
    summary = write_manifest(iter(written), path)
    assert load_samples(path) == written
    assert summary["rows"] == len(written)
    assert sum(row["rows"] for row in summary["counts"]) == len(written)
    wanted = [s for s in written if s.split == "val" and s.task == "av" and s.dataset == "one"]
    assert load_samples(path, split="val", task="av", dataset="one") == wanted
    assert load_samples(path, limit=limit) == written[:limit]


def sample(number: int, folder: str = "/data", answer: str = "yes") -> Sample:
    return Sample(
        id=f"d/train/{number}", dataset="d", split="train", task="audio", question="?",
        question_type="t", answers=(answer,), answer=answer, source=f"s:{number}",
        audio=MediaRef(Path(folder) / f"{number}.wav"),
    )  # fmt: skip


def test_digest_ignores_the_folder_and_covers_everything_else(tmp_path):
    def digest(rows):
        return write_manifest(rows, tmp_path / "m.parquet")["digest"]

    first = digest([sample(1), sample(2)])
    assert digest([sample(1, "/other"), sample(2, "/other")]) == first
    assert digest([sample(2), sample(1)]) != first
    assert digest([sample(1), sample(2, answer="no")]) != first
    assert digest([dataclasses.replace(sample(1), difficulty="hard"), sample(2)]) != first


def test_row_groups_are_bounded(tmp_path):
    import pyarrow.parquet as pq

    write_manifest((sample(i) for i in range(9000)), tmp_path / "m.parquet")
    file = pq.ParquetFile(tmp_path / "m.parquet")
    assert file.num_row_groups == 3
    assert file.metadata.row_group(0).num_rows == 4096


def test_missing_manifest_names_the_command_to_run(tmp_path):
    with pytest.raises(DataError, match="safe prepare-data"):
        load_samples(tmp_path / "none.parquet")
