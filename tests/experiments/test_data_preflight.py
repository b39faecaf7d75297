"""01 on small datasets: metrics, evidence, and unavailable metrics without media."""

import json

import pyarrow.parquet as pq
import pytest
import soundfile

from safe.errors import DataError
from safe.hearing.config import PreflightConfig
from safe.hearing.context import Context
from safe.hearing.experiments.data_preflight.measure import METRICS, measure
from safe.hearing.prepare.data import prepare_data
from tests import tiny_data
from tests.tiny_data import RATE, dataset, run_config, tone


@pytest.fixture
def config(tmp_path):
    sounds, pictures = tmp_path / "sounds", tmp_path / "pictures"
    lines = ["Category&VideoID&Quality&StartTime&EndTime"]
    for split, first in (("train", 0), ("val", 100)):
        rows = [(first + i, f"v{first + i}", 0, f"a tone {i}") for i in range(30)]
        tiny_data.write_audiocaps(sounds, split, rows, media=False)
        (sounds / "audio").mkdir(exist_ok=True)
        for number, name, *_ in rows:
            hertz = (150, 900)[number % 2] * (1 + number / 150)
            soundfile.write(sounds / "audio" / f"{name}_0.wav", tone(hertz), RATE)
            lines.append(f"{('low', 'high')[number % 2]}&{name}&good&0.2&0.8")
        questions = [(first + i, first + i, "what is it", ("a", "b")[i % 2]) for i in range(30)]
        tiny_data.write_vqav2(pictures, split, questions)
    (sounds / "Annotations.txt").write_text("\n".join(lines) + "\n")
    splits = {"train": "train", "val": "val"}
    options = {"events": "Annotations.txt"}
    return run_config(
        tmp_path,
        [
            dataset("audiocaps", sounds, splits=splits, options=options),
            dataset("vqav2", pictures, splits=splits),
        ],
    )


def measured(config):
    prepare_data(config)
    folder = config.folder / "01_data_preflight"
    folder.mkdir(parents=True, exist_ok=True)
    context = Context(config=config, folder=folder)
    return {metric.name: metric for metric in measure(context)}, context


def test_every_declared_metric_is_measured_in_its_unit(config):
    metrics, context = measured(config)
    assert set(metrics) == set(METRICS)
    for name, metric in metrics.items():
        assert metric.unit == METRICS[name]["unit"]
        assert metric.provenance == "measured"
        assert metric.value is not None
    assert metrics["no_leakage"].value == 0
    assert metrics["files_load"].n == 120  # both datasets are small, so they are pooled
    assert metrics["class_balance"].value == 1
    assert metrics["cross_split_duplicates"].value == 0
    assert metrics["alignment"].value == 1
    assert metrics["mismatch"].value == 0
    assert metrics["batch_composition"].value == 0
    recalls = metrics["duplicate_recall"].detail["recall"]
    assert {r["detector"] for r in recalls} >= {"near image", "near audio"}
    assert metrics["duplicate_recall"].value == min(r["recall"] for r in recalls)
    for file in [*context.plots, *context.evidence]:
        assert (context.folder / file).stat().st_size > 0
    assert pq.read_table(context.folder / metrics["alignment"].per_item).num_rows == 60
    assert context.digests["data"]


def test_signed_verdicts_override_the_detector(config, tmp_path):
    path = tmp_path / "verdicts.json"
    wrong = {f"audiocaps/train/{i}": "mismatched" for i in range(3)}
    right = {f"audiocaps/train/{i}": "matched" for i in range(3, 6)}
    verdicts = wrong | right | {"audiocaps/train/9999": "mismatched"}
    path.write_text(
        json.dumps({"signed_by": "A. Person", "date": "2025-01-01", "verdicts": verdicts})
    )
    settings = PreflightConfig(recall_copies=4, batches=5, verdict_file=path)
    metrics, _ = measured(config.model_copy(update={"preflight": settings}))
    assert metrics["mismatch"].value == pytest.approx(3 / 60)
    assert metrics["mismatch"].detail["spot_check"] == {
        "signed_by": "A. Person",
        "pairs": 6,
        "mismatched": 3,
        "unknown_ids": 1,
    }


def test_without_events_alignment_is_unavailable_and_never_a_pass(config):
    silent = config.datasets[0].model_copy(update={"options": {}})
    metrics, _ = measured(config.model_copy(update={"datasets": [silent, config.datasets[1]]}))
    for name in ("alignment", "mismatch"):
        assert metrics[name].provenance == "unavailable"
        assert metrics[name].value is None
        assert "options.events" in metrics[name].reason


def test_without_media_the_metrics_that_need_them_are_unavailable(config):
    alone = config.datasets[0].model_copy(update={"media": False})
    metrics, _ = measured(config.model_copy(update={"datasets": [alone, config.datasets[1]]}))
    unavailable = {name for name, m in metrics.items() if m.provenance == "unavailable"}
    assert unavailable == {
        "files_load",
        "cross_split_duplicates",
        "held_out_copies",
        "duplicate_recall",
        "alignment",
        "mismatch",
    }
    assert "audiocaps" in metrics["files_load"].reason


def test_worst_dataset_decides_and_not_the_pooled_share(config, tmp_path):
    """100 of 130 files are broken in a small dataset; the other datasets are intact."""
    rows = [(1000 + i, 1000 + i, "what is it", ("a", "b")[i % 2]) for i in range(130)]
    root = tmp_path / "broken"
    tiny_data.write_vqav2(root, "train", rows)
    for file in sorted((root / "train").iterdir())[:100]:
        file.write_bytes(b"")
    broken = dataset("vqav2", root, name="broken")
    metrics, _ = measured(config.model_copy(update={"datasets": [*config.datasets, broken]}))
    files = metrics["files_load"]
    assert (files.value, files.n, files.detail["worst"]) == (30 / 130, 130, "broken, image")
    assert files.detail["undecodable"][0]["files"] == 100


def test_measuring_unprepared_data_names_the_command_to_run(config):
    context = Context(config=config, folder=config.folder)
    with pytest.raises(DataError, match="safe prepare-data"):
        measure(context)
