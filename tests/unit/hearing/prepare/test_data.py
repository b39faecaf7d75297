"""prepare-data: counts, digests, media descriptions, and listed problems."""

import json
import shlex

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from safe.cli import app
from safe.errors import DataError
from safe.hearing.config import WorldConfig
from safe.hearing.data import media
from safe.hearing.prepare.data import check_world, ensure_world, prepare_data
from tests import tiny_data
from tests.tiny_data import dataset, run_config
from tests.unit.hearing.miniature.world.conftest import SIZE


@pytest.fixture
def config(tmp_path):
    root = tmp_path / "sounds"
    for split, first in (("train", 1), ("val", 11)):
        rows = [(i, f"clip{i}", 0, f"sound {i}") for i in range(first, first + 6)]
        tiny_data.write_audiocaps(root, split, rows)
    pictures = tmp_path / "pictures"
    rows = [(i, i, "what is it", f"thing {i}") for i in range(1, 7)]
    tiny_data.write_vqav2(pictures, "train", rows)
    splits = {"train": "train", "val": "val"}
    datasets = [dataset("audiocaps", root, splits=splits), dataset("vqav2", pictures)]
    return run_config(tmp_path, datasets)


def read(config):
    folder = config.folder / "data"
    return json.loads((folder / "data.json").read_text()), pq.read_table(
        folder / "media.parquet"
    ).to_pylist()


def test_everything_is_counted_and_described(config):
    prepare_data(config)
    data, rows = read(config)
    assert data["rows"] == 18
    assert data["media"] == {"media": 18, "ok": 18}
    assert {(c["dataset"], c["split"]): c["rows"] for c in data["counts"]}["audiocaps", "val"] == 6
    sounds = [row for row in rows if row["kind"] == "audio"]
    assert len({row["content"] for row in sounds}) == 12
    assert all(abs(row["duration"] - 1.0) < 1e-6 for row in sounds)
    assert all(0.1 < row["activity"][0]["start"] < 0.3 for row in sounds)
    assert all(row["width"] == 32 for row in rows if row["kind"] == "image")


def test_missing_or_broken_media_are_listed_with_the_reason(config):
    audio = config.datasets[0].root / "audio"
    (audio / "clip1_0.wav").unlink()
    (audio / "clip2_0.wav").write_bytes(b"")
    (audio / "clip3_0.wav").write_bytes(b"nothing like a sound")
    prepare_data(config)
    data, rows = read(config)
    assert data["media"] == {"media": 18, "ok": 15}
    reasons = {row["reason"]: row["examples"] for row in data["undecodable"]}
    assert reasons["the file is missing"] == ["clip1_0.wav"]
    assert reasons["the file is empty (0 bytes)"] == ["clip2_0.wav"]
    assert len(reasons) == 3
    assert data["rows"] == 18  # the samples are kept
    assert sum(not row["ok"] for row in rows) == 3


def test_second_run_decodes_only_changed_media(config, monkeypatch):
    prepare_data(config)
    first, _ = read(config)
    decoded = []
    real = media.describe
    monkeypatch.setattr(media, "describe", lambda m: decoded.append(m.ref.path.name) or real(m))
    prepare_data(config)
    assert decoded == []
    assert read(config)[0] == first
    path = config.datasets[0].root / "audio" / "clip4_0.wav"
    path.write_bytes((path.parent / "clip5_0.wav").read_bytes())
    prepare_data(config)
    assert decoded == ["clip4_0.wav"]
    assert read(config)[0]["digest"] != first["digest"]


def test_interrupted_scan_resumes(config, monkeypatch):
    monkeypatch.setattr(media, "PART", 4)
    real, count = media.describe, 0

    def stops(medium):
        nonlocal count
        count += 1
        if count == 10:
            raise KeyboardInterrupt
        return real(medium)

    monkeypatch.setattr(media, "describe", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_data(config)
    # A truncated part is decoded again.
    parts = sorted((config.folder / "data" / "media.parquet.parts").glob("*.parquet"))
    assert len(parts) == 2
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    count = 100
    prepare_data(config)
    assert count == 100 + 18 - 4
    data, rows = read(config)
    assert data["media"] == {"media": 18, "ok": 18}
    assert len({row["key"] for row in rows}) == 18
    assert not (config.folder / "data" / "media.parquet.parts").exists()


def test_datasets_without_media_are_not_decoded(config, tmp_path):
    alone = config.datasets[0].model_copy(update={"media": False})
    config = config.model_copy(update={"datasets": [alone, config.datasets[1]]})
    prepare_data(config)
    data, rows = read(config)
    assert data["without_media"] == ["audiocaps"]
    assert {row["dataset"] for row in rows} == {"vqav2"}


def test_several_processes_give_the_same_table(config, monkeypatch):
    prepare_data(config)
    _, one = read(config)
    monkeypatch.setattr(media, "PARALLEL_FROM", 4)
    (config.folder / "data" / "media.parquet").unlink()
    prepare_data(config.model_copy(update={"threads": 2}))
    _, two = read(config)
    assert two == one


def test_world_of_another_run_in_the_same_folder_is_refused(tmp_path):
    root = tmp_path / "my world"
    captions = dataset("audiocaps", root / "audiocaps", splits={"val": "val"})
    ours = WorldConfig(root=root, **SIZE, faults=["leak", "silent"])
    config = run_config(tmp_path, [captions], world=ours)
    other = run_config(tmp_path, [captions], world=WorldConfig(root=root, **SIZE))
    with pytest.raises(DataError):
        check_world(config)
    prepare_data(config)
    check_world(config)

    def written() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in (config.folder / "data").iterdir()}

    before = written()
    ensure_world(other.world)
    check_world(other)
    with pytest.raises(DataError, match="not the world that the run was made from") as refused:
        check_world(config)
    command = str(refused.value).split("`")[1]
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    check_world(config)
    assert written() == before
