"""The world on disk: reproducible bytes, official layouts, true answers, atomic replacement."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from safe.digest import digest_tree
from safe.errors import ConfigError
from safe.hearing.data.audio_features import describe_audio
from safe.hearing.data.decode import load_image, read_audio
from safe.hearing.data.sample import MediaRef
from safe.hearing.miniature.world import draw, is_current, write_world
from safe.hearing.miniature.world.questions import VOCABULARY
from tests.unit.hearing.miniature.world.conftest import SIZE, MakeWorld
from tests.unit.hearing.miniature.world.oracle import about_picture, about_video

OFFICIAL = {"train": "train2014", "val": "val2014", "test": "test2015"}


def _json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_same_seed_gives_the_same_bytes_with_any_number_of_processes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "POOL_FROM", 1)
    write_world(tmp_path / "again", **SIZE, processes=2)
    assert digest_tree(tmp_path / "again") == digest_tree(world)


def test_new_process_writes_the_same_bytes(world: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from safe.hearing.miniature.world import write_world\n"
        f"write_world(Path(sys.argv[1]), **{SIZE!r})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "w")], check=True)
    assert digest_tree(tmp_path / "w") == digest_tree(world)


def test_another_seed_gives_other_media(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "w", **{**SIZE, "seed": 4})
    names = {path.name for path in world.rglob("*.*") if path.suffix in (".mp4", ".jpg")}
    others = {path.name for path in (tmp_path / "w").rglob("*.*")}
    assert len(names & others) < 0.1 * len(names)


def test_vqav2_is_in_the_official_layout(world: Path) -> None:
    for name in OFFICIAL.values():
        questions = _json(world / f"vqav2/v2_OpenEnded_mscoco_{name}_questions.json")
        annotations = _json(world / f"vqav2/v2_mscoco_{name}_annotations.json")
        assert questions["data_subtype"] == annotations["data_subtype"] == name
        by_id = {row["question_id"]: row for row in questions["questions"]}
        assert len(by_id) == len(questions["questions"]) == len(annotations["annotations"])
        for row in annotations["annotations"]:
            assert by_id[row["question_id"]]["image_id"] == row["image_id"]
            assert [a["answer_id"] for a in row["answers"]] == list(range(1, 11))
            counts = Counter(a["answer"] for a in row["answers"])
            assert counts.most_common(1)[0][0] == row["multiple_choice_answer"]
            assert row["answer_type"] in ("yes/no", "number", "other")
            text = by_id[row["question_id"]]["question"]
            assert text.lower().startswith(row["question_type"])
            assert (world / f"vqav2/{name}/COCO_{name}_{row['image_id']:012d}.jpg").is_file()


def test_audiocaps_is_in_the_official_layout(world: Path) -> None:
    for split, references in (("train", 1), ("val", 5), ("test", 5)):
        rows = _table(world / f"audiocaps/{split}.csv")
        clips = Counter((row["youtube_id"], row["start_time"]) for row in rows)
        assert set(clips.values()) == {references}
        assert len({row["audiocap_id"] for row in rows}) == len(rows)
        for youtube, start in clips:
            assert re.fullmatch(r"[A-Za-z0-9_-]{11}", youtube)
            assert len(list((world / "audiocaps/audio").glob(f"{youtube}_{start}.*"))) == 1
    kinds = {path.suffix for path in (world / "audiocaps/audio").iterdir()}
    assert kinds == {".wav", ".flac", ".ogg", ".mp3"}


def test_gqa_is_in_the_official_layout(world: Path) -> None:
    keys = {"semantic", "question", "imageId", "answer", "fullAnswer", "types", "isBalanced"}
    for name in ("train", "val", "testdev"):
        for row in _json(world / f"gqa/{name}_balanced_questions.json").values():
            assert keys <= set(row)
            assert set(row["types"]) == {"detailed", "semantic", "structural"}
            assert (world / f"gqa/images/{row['imageId']}.jpg").is_file()


def test_music_avqa_is_in_the_official_layout(world: Path) -> None:
    tasks = Counter()
    for split in ("train", "val", "test"):
        rows = _json(world / f"music_avqa/avqa-{split}.json")
        for row in rows:
            kind, values = json.loads(row["type"]), json.loads(row["templ_values"])
            tasks[kind[0]] += 1
            assert len(kind) == 2
            assert len(re.findall(r"<\w+>", row["question_content"])) == len(values)
            assert re.fullmatch(r"\d{8}", row["video_id"])
            assert row["anser"]
            assert row["question_deleted"] == 0
            assert (world / f"music_avqa/videos/{row['video_id']}.mp4").is_file()
        assert len({row["question_id"] for row in rows}) == len(rows)
    assert set(tasks) == {"Audio", "Visual", "Audio-Visual"}


def test_answers_on_disk_are_true(world: Path) -> None:
    truth = _json(world / "truth.json")
    for name in OFFICIAL.values():
        annotations = _json(world / f"vqav2/v2_mscoco_{name}_annotations.json")["annotations"]
        questions = _json(world / f"vqav2/v2_OpenEnded_mscoco_{name}_questions.json")["questions"]
        for question, row in zip(questions, annotations, strict=True):
            file = f"vqav2/{name}/COCO_{name}_{row['image_id']:012d}.jpg"
            cells = truth["vqav2"][file]["cells"]
            assert about_picture(question["question"], cells) == row["multiple_choice_answer"]
    for name in ("train", "val", "testdev"):
        for row in _json(world / f"gqa/{name}_balanced_questions.json").values():
            cells = truth["gqa"][f"gqa/images/{row['imageId']}.jpg"]["cells"]
            assert about_picture(row["question"], cells) == row["answer"]
    for name in ("train", "val", "test"):
        for row in _json(world / f"music_avqa/avqa-{name}.json"):
            item = truth["music_avqa"][f"music_avqa/videos/{row['video_id']}.mp4"]
            text = row["question_content"]
            for value in json.loads(row["templ_values"]):
                text = re.sub(r"<\w+>", value, text, count=1)
            assert about_video(text, item["cells"], item["events"]) == row["anser"], text


def test_ids_and_file_names_contain_no_word_of_the_vocabulary(world: Path) -> None:
    ids = [path.stem for path in (world / "audiocaps/audio").iterdir()]
    ids += [path.stem for path in (world / "music_avqa/videos").iterdir()]
    words = [word for word in VOCABULARY if len(word) > 1]
    assert [i for i in ids if any(word in i.lower() for word in words)] == []


def test_activity_agrees_with_the_annotated_events(world: Path) -> None:
    grid = np.arange(0, 2, 0.01)
    for folder, file in (("audiocaps", "audiocaps"), ("music_avqa", "ave")):
        rows = (world / file / "Annotations.txt").read_text().splitlines()
        assert rows[0].startswith("Category&VideoID&Quality&StartTime&EndTime")
        events: dict[str, list[tuple[float, float]]] = {}
        for line in rows[1:]:
            _, key, _, start, end, _ = line.split("&")
            events.setdefault(key, []).append((float(start), float(end)))
        overlaps = []
        for path in sorted(p for p in (world / folder).rglob("*.*") if p.parent.name != folder):
            key = path.stem if folder == "music_avqa" else path.stem.rsplit("_", 1)[0]
            found = describe_audio(*read_audio(MediaRef(path))).activity
            active, annotated = (
                np.any([(a <= grid) & (grid < b) for a, b in spans], axis=0)
                for spans in (found, events[key])
            )
            overlaps.append((active & annotated).sum() / (active | annotated).sum())
        assert np.mean(np.array(overlaps) > 0.7) > 0.9


def test_sounding_instruments_move_and_others_do_not(world: Path) -> None:
    moved_most = []
    for file, item in _json(world / "truth.json")["music_avqa"].items():
        rest, shaken = {}, {}
        for place, cell in enumerate(item["cells"]):
            if cell is None:
                continue
            top, left = 32 * (place // 2), 32 * (place % 2)
            frames = [
                np.asarray(load_image(MediaRef(world / file, frame=n / 4)), float) for n in range(8)
            ]
            pieces = [frame[top : top + 32, left : left + 32] for frame in frames]
            change = max(np.abs(piece - pieces[0]).mean() for piece in pieces)
            sounds = any(
                label == cell[0] and any(start <= n / 4 < end for n in (1, 3, 5, 7))
                for label, start, end, _ in item["events"]
            )
            (shaken if sounds else rest)[place] = change
        if shaken and rest:
            moved_most.append(min(shaken.values()) > 2 * max(rest.values()))
    assert len(moved_most) > 5
    assert np.mean(moved_most) > 0.95


def test_world_is_replaced_atomically_and_other_folders_never(
    world: Path, tmp_path: Path, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, small = tmp_path / "w", {"seed": 1, "clips": 3, "images": 9, "videos": 3}
    write_world(root, **small)
    before = digest_tree(root)
    assert is_current(root, **small, faults=[])
    assert not is_current(root, **{**small, "seed": 2}, faults=[])
    assert not is_current(tmp_path, **small, faults=[])

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("safe.hearing.miniature.world.write.draw_all", fail)
    with pytest.raises(RuntimeError, match="killed"):
        write_world(root, **{**small, "seed": 2})
    assert digest_tree(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    monkeypatch.undo()
    (tmp_path / ".w.999999999.new").mkdir()  # left by a killed run
    write_world(root, **{**small, "seed": 2})
    assert digest_tree(root) != before
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not a miniature world"):
        write_world(tmp_path / "mine", **small)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


def test_too_few_items_and_unknown_faults_are_refused_before_writing(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="three splits"):
        write_world(tmp_path / "w", seed=0, clips=2, images=9, videos=3)
    with pytest.raises(ConfigError, match=r"unknown fault 'leek'(.|\n)*leak, id_leak"):
        write_world(tmp_path / "w", **SIZE, faults=["leek"])
    assert list(tmp_path.iterdir()) == []
