"""Every fault does what its name says to enough files, and leaves the others unchanged."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from safe.digest import digest_file
from safe.errors import MediaError
from safe.hearing.data.audio_features import describe_audio
from safe.hearing.data.decode import load_image, read_audio
from safe.hearing.data.sample import MediaRef
from safe.hearing.miniature.world.faults import FAULTS
from tests.unit.hearing.miniature.world.conftest import MakeWorld

DATASETS = ("audiocaps", "vqav2", "gqa", "music_avqa")
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".mp4", ".jpg")


def _truth(root: Path):
    return json.loads((root / "truth.json").read_text())


def _media(root: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(root)): path
        for path in sorted(root.rglob("*.*"))
        if path.suffix in SUFFIXES
    }


def _fingerprint(path: Path) -> np.ndarray:
    return describe_audio(*read_audio(MediaRef(path))).fingerprint


def _keys(root: Path, split: str) -> dict[str, set[str]]:
    """Media ids by dataset, as listed in the annotation files."""
    official = {"train": "train2014", "val": "val2014", "test": "test2015"}[split]
    with (root / f"audiocaps/{split}.csv").open() as handle:
        clips = {row["youtube_id"] for row in csv.DictReader(handle)}
    vqa = json.loads((root / f"vqav2/v2_mscoco_{official}_annotations.json").read_text())
    name = {"test": "testdev"}.get(split, split)
    gqa = json.loads((root / f"gqa/{name}_balanced_questions.json").read_text())
    music = json.loads((root / f"music_avqa/avqa-{split}.json").read_text())
    return {
        "audiocaps": clips,
        "vqav2": {str(row["image_id"]) for row in vqa["annotations"]},
        "gqa": {row["imageId"] for row in gqa.values()},
        "music_avqa": {row["video_id"] for row in music},
    }


def _changed(faulty: Path, clean: Path) -> set[str]:
    faulty_media, clean_media = _media(faulty), _media(clean)
    return {
        name
        for name in faulty_media | clean_media
        if name not in faulty_media
        or name not in clean_media
        or digest_file(faulty_media[name]) != digest_file(clean_media[name])
    }


def test_clean_world_shares_no_media_and_has_no_faults(world: Path) -> None:
    splits = [_keys(world, split) for split in ("train", "val", "test")]
    for dataset in DATASETS:
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert not splits[one][dataset] & splits[other][dataset]
    assert _truth(world)["faults"] == {}
    digests = Counter(digest_file(path) for path in _media(world).values())
    assert max(digests.values()) == 1


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_fault_changes_only_the_media_it_names(
    fault: str, make_world: MakeWorld, world: Path
) -> None:
    faulty = make_world(fault)
    touched = set(_truth(faulty)["faults"][fault])
    for name in _changed(faulty, world):
        stem = Path(name).stem
        # `answer_in_filename` renames files, so the old name is missing as well.
        known = any(native in stem or str(native).zfill(12) in stem for native in touched)
        assert known or (fault == "answer_in_filename" and not (faulty / name).exists()), name


def test_leak_lists_train_media_in_test(make_world: MakeWorld) -> None:
    train, test = (_keys(make_world("leak"), split) for split in ("train", "test"))
    assert all(train[dataset] & test[dataset] for dataset in DATASETS)


def test_id_leak_writes_answers_into_ids(make_world: MakeWorld) -> None:
    rows = json.loads((make_world("id_leak") / "gqa/train_balanced_questions.json").read_text())
    named = [key.endswith(f"_{row['answer']}") for key, row in rows.items()]
    assert 0.3 < np.mean(named) < 0.7


def test_answer_in_filename_names_files_after_sounds(make_world: MakeWorld) -> None:
    truth = _truth(make_world("answer_in_filename"))
    for dataset in ("audiocaps", "music_avqa"):
        named = [row["events"][0][0] in Path(name).stem for name, row in truth[dataset].items()]
        assert 0.4 < np.mean(named) < 0.6


def test_exact_duplicates_are_the_same_bytes_in_train_and_test(make_world: MakeWorld) -> None:
    root = make_world("duplicate_exact")
    truth = _truth(root)
    for dataset in DATASETS:
        train = {
            digest_file(root / n) for n, row in truth[dataset].items() if row["split"] == "train"
        }
        copies = [name for name, row in truth[dataset].items() if "copy_of" in row]
        assert copies
        assert all(digest_file(root / name) in train for name in copies)


def test_reencoded_duplicates_differ_in_bytes_only(
    make_world: MakeWorld,
) -> None:
    root = make_world("duplicate_reencoded")
    truth = _truth(root)
    for dataset in DATASETS:
        copies = {name: row["copy_of"] for name, row in truth[dataset].items() if "copy_of" in row}
        assert copies
        for name, source in copies.items():
            (original,) = (n for n in truth[dataset] if source.zfill(12) in n or source in n)
            assert digest_file(root / name) != digest_file(root / original)
            if dataset in ("vqav2", "gqa"):
                one, other = (imagehash.phash(Image.open(root / n)) for n in (name, original))
                assert one - other <= 4
            else:
                assert float(_fingerprint(root / name) @ _fingerprint(root / original)) > 0.985
            if dataset == "music_avqa":
                frames = [load_image(MediaRef(root / n, frame=1.0)) for n in (name, original)]
                assert imagehash.phash(frames[0]) - imagehash.phash(frames[1]) <= 4


def test_undecodable_files_cannot_be_opened_and_the_others_can(make_world: MakeWorld) -> None:
    root = make_world("undecodable")
    touched = set(_truth(root)["faults"]["undecodable"])
    failed = []
    for name, path in _media(root).items():
        try:
            if path.suffix == ".jpg":
                load_image(MediaRef(path))
            else:
                read_audio(MediaRef(path))
        except MediaError:
            failed.append(name)
    assert len(failed) == len(touched)
    assert len(failed) >= 0.08 * len(_media(root))
    assert all(any(str(native) in name for native in touched) for name in failed)


def test_skew_asks_true_statements_ten_times_as_often(make_world: MakeWorld) -> None:
    root = make_world("skew")
    rows = json.loads((root / "music_avqa/avqa-train.json").read_text())
    answers = Counter(row["anser"] for row in rows)
    questions = json.loads((root / "vqav2/v2_mscoco_train2014_annotations.json").read_text())
    vqa = Counter(row["multiple_choice_answer"] for row in questions["annotations"])
    gqa = json.loads((root / "gqa/train_balanced_questions.json").read_text()).values()
    for found in (answers, vqa, Counter(row["answer"] for row in gqa)):
        yes = found.pop("yes")
        assert yes >= 10 * max(found.values(), default=0)


def _activity_overlap(path: Path, events: list[list]) -> float:
    grid = np.arange(0, 2, 0.01)
    annotated = np.any([(e[1] <= grid) & (grid < e[2]) for e in events], axis=0)
    spans = describe_audio(*read_audio(MediaRef(path))).activity
    active = np.any([(a <= grid) & (grid < b) for a, b in spans] or [grid < 0], axis=0)
    return float((active & annotated).sum() / annotated.sum())


def test_shifted_sounds_miss_their_events(make_world: MakeWorld, world: Path) -> None:
    root = make_world("shifted")
    truth = _truth(root)
    touched = set(truth["faults"]["shifted"])
    for dataset in ("audiocaps", "music_avqa"):
        names = [n for n in truth[dataset] if any(t in n for t in touched)]
        assert len(names) >= 0.5 * len(truth[dataset])
        shifted, clean = (
            np.array([_activity_overlap(where / n, truth[dataset][n]["events"]) for n in names])
            for where in (root, world)
        )
        assert clean.min() > 0.7
        assert shifted.mean() < 0.6 < 0.9 < clean.mean()


def test_swapped_sounds_occur_in_another_file(make_world: MakeWorld, world: Path) -> None:
    root = make_world("swapped")
    for dataset in ("audiocaps", "music_avqa"):
        names = [n for n in _changed(root, world) if n.startswith(dataset)]
        assert len(names) >= 0.2 * len(_truth(root)[dataset])
        was = np.stack([_fingerprint(world / name) for name in names])
        now = np.stack([_fingerprint(root / name) for name in names])
        similarity = now @ was.T
        assert np.diag(similarity).max() < 0.9
        assert similarity.max(axis=1).min() > 0.97


def test_silent_sounds_are_silent_and_still_different_files(make_world: MakeWorld) -> None:
    root = make_world("silent")
    truth = _truth(root)
    touched = set(truth["faults"]["silent"])
    for dataset in ("audiocaps", "music_avqa"):
        names = [n for n in truth[dataset] if any(t in n for t in touched)]
        assert len(names) >= 0.2 * len(truth[dataset])
        assert {truth[dataset][n]["split"] for n in names} == {"train"}
        for name in names:
            wave, _ = read_audio(MediaRef(root / name))
            assert np.abs(wave).max() < 0.001
        assert len({digest_file(root / n) for n in names if n.endswith(("wav", "flac"))}) == sum(
            n.endswith(("wav", "flac")) for n in names
        )
