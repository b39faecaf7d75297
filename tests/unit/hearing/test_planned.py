"""Planned sizes: from the world's plan, from the manifest, or unknown."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safe.errors import ConfigError, DataError, EvidenceError
from safe.gates.criteria import load_all
from safe.hearing.config import RunConfig, WorldConfig, load_run_config
from safe.hearing.data.manifest import write_manifest
from safe.hearing.data.sample import Event, MediaRef, Sample
from safe.hearing.miniature.world import write_world
from safe.hearing.planned import count_questions, planned_sizes
from safe.hearing.prepare.data import read_all
from safe.pipeline.power import power_report
from tests.tiny_data import dataset, run_config
from tests.unit.gates.builders import (
    CRITERIA,
    ROOT,
    UNDERPOWERED,
    assume_seed_sd,
    criteria_of,
    metric,
    write_measurement,
)
from tests.unit.gates.builders import measurement as made
from tests.unit.hearing.miniature.world.conftest import SIZE

DEFAULT = ROOT / "config" / "config.yaml"
SPLITS = {"train": "train", "val": "val", "test": "test"}


def default(**changes: Any) -> RunConfig:
    return load_run_config(DEFAULT).model_copy(update={"criteria": CRITERIA, **changes})


def sample(number: int, task: str, split: str, **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": f"d/{split}/{task}-{number}",
        "dataset": "d",
        "split": split,
        "task": task,
        "question": f"question {number}?",
        "question_type": "kind",
        "answers": ("yes",),
        "answer": "yes",
        "source": f"clip:{number // 2}",
        "image": MediaRef(Path(f"/p/{number}.png")),
        "audio": None if task == "vl" else MediaRef(Path(f"/s/{number // 2}.wav")),
    }
    return Sample(**(values | changes))


def with_manifest(tmp_path: Path, samples: list[Sample], **settings: Any) -> RunConfig:
    data = dataset("vqav2", tmp_path, name="d", splits=SPLITS)
    config = run_config(tmp_path, [data], criteria=CRITERIA, **settings)
    write_manifest(samples, config.folder / "data" / "manifest.parquet")
    return config


def items(config: RunConfig, experiment: str, name: str) -> int | None:
    return planned_sizes(config)[experiment, name].sampled


# The world's plan --------------------------------------------------------------------------------


def test_plan_reproduces_the_question_count_of_an_earlier_default_run(tmp_path: Path) -> None:
    """With 2,400 videos, 15 % of them in test, n was 1,841 of 11's questions in val and test."""
    config = default(results=tmp_path)
    assert config.world is not None
    earlier = config.model_copy(update={"world": config.world.model_copy(update={"videos": 2400})})
    found = count_questions(earlier)
    assert found is not None
    assert found.total("seen", ["val"], ["audio", "av"]) == pytest.approx(1841, rel=0.01)
    seeds = planned_sizes(config)["11_seeds", "audio_sd"]
    assert (seeds.n, seeds.seeds, seeds.source) == (3, 3, "world plan")


def test_plan_and_manifest_of_a_world_agree(tmp_path: Path) -> None:
    root = tmp_path / "world"
    native = {"vqav2": {"train": "train2014", "val": "val2014", "test": "test2015"}}
    native["gqa"] = {"train": "train", "val": "val", "test": "testdev"}
    layouts = ("vqav2", "gqa", "music_avqa")
    sets = [dataset(x, root / x, splits=native.get(x, SPLITS)) for x in layouts]
    config = run_config(tmp_path, sets, world=WorldConfig(root=root, **SIZE))
    plan = count_questions(config)
    assert plan is not None
    assert plan.source == "world plan"
    write_world(root, **SIZE)
    write_manifest(read_all(config, []), config.folder / "data" / "manifest.parquet")
    manifest = count_questions(config)
    assert manifest is not None
    assert manifest.source == "manifest"
    for tasks in (["vl"], ["audio", "av"]):
        for split in SPLITS:
            counted = manifest.total("seen", [split], tasks)
            # The plan uses the shares of tasks over all splits.
            assert plan.total("seen", [split], tasks) == pytest.approx(counted, rel=0.15)
        every = manifest.total("seen", SPLITS, tasks)
        assert plan.total("seen", SPLITS, tasks) == pytest.approx(every, rel=0.02)


def test_unprepared_data_have_unknown_sizes(tmp_path: Path) -> None:
    config = run_config(tmp_path, [dataset("vqav2", tmp_path)], criteria=CRITERIA)
    assert count_questions(config) is None
    assert ("11_seeds", "audio_sd") in planned_sizes(config)  # the number of seeds is known
    assert items(config, "11_seeds", "audio_sd") == 3
    assert ("04_stage_a_pilot", "audio_gain") not in planned_sizes(config)


def test_every_planned_metric_has_a_criterion(tmp_path: Path) -> None:
    judged = {(f.experiment, c.metric) for f in load_all(CRITERIA) for c in f.criteria}
    assert set(planned_sizes(default(results=tmp_path))) <= judged


# The manifest ------------------------------------------------------------------------------------


def test_usable_questions_are_counted_and_capped(tmp_path: Path) -> None:
    samples = [
        *(sample(i, "audio" if i % 2 else "av", "test") for i in range(40)),
        sample(0, "av", "test", id="again"),  # the same question about the same recording
        *(sample(i, "vl", "val") for i in range(30)),
        *(sample(i, "vl", "test") for i in range(10)),
        sample(0, "caption", "test", image=None, events=(Event("bell", 0, 1),)),
    ]
    config = with_manifest(tmp_path, samples)
    assert items(config, "04_stage_a_pilot", "audio_gain") == 40
    assert items(config, "05_gating", "audio_drop") == 41
    assert items(config, "05_gating", "skip_rate") == 51
    assert items(config, "04_stage_a_pilot", "vl_drop") == 40
    assert items(config, "01_data_preflight", "mismatch") == 1
    media = {"key": ["audio:/s/0.wav", "image:/p/3.png", "image:/p/2.png"]}
    media |= {"dataset": ["d"] * 3, "kind": ["image", "audio", "image"], "ok": [False, False, True]}
    pq.write_table(pa.table(media), config.folder / "data" / "media.parquet")
    assert items(config, "04_stage_a_pilot", "audio_gain") == 37  # 2 use the sound, 1 the picture
    assert items(config, "04_stage_a_pilot", "vl_drop") == 38
    held_out = config.held_out.model_copy(update={"audio_items": 12, "vl_items": 25})
    capped = config.model_copy(update={"held_out": held_out})
    assert items(capped, "04_stage_a_pilot", "audio_gain") == 12
    assert items(capped, "04_stage_a_pilot", "vl_drop") == 25
    assert items(capped, "11_seeds", "audio_sd") == 12


def test_broken_manifest_is_named(tmp_path: Path) -> None:
    config = with_manifest(tmp_path, [sample(0, "vl", "test")])
    (config.folder / "data" / "manifest.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match=r"manifest\.parquet.*cannot be read"):
        power_report(config)


# Reports -----------------------------------------------------------------------------------------


def test_default_config_decides_every_required_criterion_with_known_power(tmp_path: Path) -> None:
    report = power_report(default(results=tmp_path))
    by_id = {row.id: row for row in report.rows}
    assert report.open == []
    assert by_id["11.audio_sd"].verdict == "decides"
    assert by_id["04.audio_gain"].verdict == "decides"
    assert by_id["04.vl_drop"].verdict == "exact"
    assert report.measured == []
    assert report.as_text().startswith(f"no earlier run in {tmp_path / 'default'}")


def test_assumed_seed_sd_that_is_too_large_is_reported(tmp_path: Path) -> None:
    criteria = assume_seed_sd(tmp_path / "criteria", **UNDERPOWERED)
    report = power_report(default(results=tmp_path, criteria=criteria))
    row = next(row for row in report.rows if row.id == "11.audio_sd")
    assert report.open == [row]
    assert (row.verdict, row.items_needed) == ("by luck", "none")
    assert row.probability == pytest.approx(0.66, abs=0.03)


def test_few_pairs_cannot_decide_a_rare_fault(tmp_path: Path) -> None:
    clips = [
        sample(2 * i, "caption", "train", image=None, events=(Event("bell", 0, 1),))
        for i in range(150)
    ]
    report = power_report(with_manifest(tmp_path, clips))
    row = next(r for r in report.rows if r.id == "01.mismatch")
    assert (row.verdict, row.n) == ("cannot be decided", 150)
    assert row in report.undecidable


def write_last_seeds(folder: Path, between: float) -> None:
    components = {"between": between**2, "item_noise": 0.0009**2, "items": 1841}
    found = metric(
        0.001, name="audio_sd", n=3, ci=None, detail={"components": components}
    )  # fmt: skip
    file = next(f for f in load_all(CRITERIA) if f.experiment == "11_seeds")
    write_measurement(folder, made(found, criteria=file))


def test_earlier_run_provides_the_seed_sd(tmp_path: Path) -> None:
    config, other = default(results=tmp_path), tmp_path / "other"
    write_last_seeds(other, between=0.02)
    report = power_report(config, other)
    assert report.measured == ["11_seeds"]
    row = next(r for r in report.rows if r.id == "11.audio_sd")
    assert row.run_sd == pytest.approx(0.02)
    assert f"expected values from {other} (1 measurements)" in report.as_text()


def test_unreadable_earlier_run_is_named(tmp_path: Path) -> None:
    config = default(results=tmp_path)
    with pytest.raises(ConfigError, match="no such run"):
        power_report(config, tmp_path / "none")
    folder = config.folder / "11_seeds"
    folder.mkdir(parents=True)
    (folder / "measurement.json").write_text('{"schema_version": 1,')
    with pytest.raises(EvidenceError, match=r"(?s)measurement\.json.*broken JSON.*measure again"):
        power_report(config)


def test_criteria_without_a_power_block_are_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "criteria"
    folder.mkdir()
    shutil.copy(CRITERIA.parent / "pipeline.yaml", tmp_path)
    values = criteria_of(
        *(c.model_copy(update={"power": None}) for c in load_all(CRITERIA)[10].criteria),
        name="11_seeds",
    )
    (folder / "11_seeds.yaml").write_text(json.dumps(values.model_dump(mode="json")))
    report = power_report(default(results=tmp_path, criteria=folder))
    assert {row.verdict for row in report.rows} == {"unknown"}
    assert report.open == []


def test_power_command_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['safe', 'power', sys.argv[1], '--json']\n"
        "from safe.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy.stats', 'statsmodels'}\n"
        "loaded = sorted(heavy & set(sys.modules))\n"
        "sys.exit(f'imported: {loaded}' if loaded else 0)\n"
    )
    config = default(results=tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.model_dump(mode="json")))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decided"] is True
