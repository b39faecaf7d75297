"""03 on a tiny run: GO, traceable, and identical after a kill."""

import json
import os
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image

from safe.errors import DataError
from safe.hearing.config import parse_run_config
from safe.hearing.data.manifest import load_samples, write_manifest
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm
from safe.hearing.models.checkpoint import load_adapter
from tests.judging import decide, run, verdicts
from tests.paths import ROOT
from tests.tiny_run import make_learnable_run

EXPERIMENT = "03_tiny_overfit"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return make_learnable_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def measured(config):
    return run(config, EXPERIMENT, config.folder / EXPERIMENT)


def test_model_that_learns_is_go(config, measured):
    decision = decide(config, EXPERIMENT, measured[1])
    assert decision.verdict == "GO", verdicts(decision)


def test_every_metric_can_be_recomputed_from_the_evidence(config, measured):
    context, metrics = measured
    found = {m.name: m for m in metrics}
    rows = pq.read_table(context.folder / "rows.parquet").to_pylist()
    audio_examples = [r for r in rows if r["task"] != "vl"]
    assert len(rows) == found["loss"].n == 260
    assert {r["task"] for r in rows} == {"audio", "av", "vl"}
    assert sum(r["nats"] for r in rows) / sum(r["tokens"] for r in rows) == pytest.approx(
        found["loss"].value
    )
    assert (
        sum(r["correct"] for r in audio_examples) / len(audio_examples)
        == found["audio_accuracy"].value
    )
    assert all((r["generated"] == r["answer"]) == r["correct"] for r in audio_examples)
    assert len({r["generated"] for r in audio_examples}) == 4
    assert sum(r["off_changed"] for r in rows if r["task"] == "vl") == 0
    steps = pq.read_table(context.folder / "steps.parquet").to_pylist()
    assert [s["step"] for s in steps] == list(range(260))
    with Image.open(context.folder / context.plots[0]) as plot:
        assert plot.format == "PNG"
        assert min(plot.size) > 300
    json.dumps([m.model_dump(mode="json") for m in metrics], allow_nan=False)


def test_vl_examples_get_the_sound_of_an_audio_example(measured):
    rows = pq.read_table(measured[0].folder / "rows.parquet").to_pylist()
    audio_examples = {r["id"] for r in rows if r["task"] != "vl"}
    for row in rows:
        assert (row["heard"] == row["id"]) == (row["task"] != "vl")
        assert row["heard"] in audio_examples


def test_saved_adapter_can_be_loaded(config, measured):
    record = json.loads((config.folder / "base.json").read_text())
    vlm, audio_encoder = load_vlm(record["vlm"])[0], load_audio_encoder(record["audio_encoder"])
    model = load_adapter(measured[0].folder / "adapter", vlm, audio_encoder)
    assert model.config == config.adapter


def test_no_checkpoint_is_left(measured):
    left = {p.name for p in measured[0].folder.iterdir()}
    assert left == {"adapter", "plots", "rows.parquet", "steps.parquet"}


KILLED = """
import os, signal, sys
from pathlib import Path
from safe.hearing.config import load_run_config
from safe.hearing.training.trainer import Trainer
from tests.judging import run
real = Trainer.step
def dying(self, step):
    if step == 120:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, step)
Trainer.step = dying
run(load_run_config(Path(sys.argv[1])), "03_tiny_overfit", Path(sys.argv[2]))
"""


def test_killed_run_resumes_and_ends_identically(config, measured, tmp_path):
    written = tmp_path / "config.json"
    written.write_text(json.dumps(config.model_dump(mode="json")))
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(written), str(tmp_path / "03")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    again = {m.name: m for m in run(config, EXPERIMENT, tmp_path / "03")[1]}
    assert again["loss"].detail["resumed_at_step"] == 100
    for metric in measured[1]:
        assert again[metric.name].value == metric.value
        assert again[metric.name].n == metric.n


def test_features_are_cached_between_runs(config, measured, tmp_path, monkeypatch):
    """A second measurement encodes nothing."""

    def nothing(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr("safe.hearing.training.features.Features._see", nothing)
    monkeypatch.setattr("safe.hearing.training.features.Features._hear", nothing)
    values = config.model_dump(mode="json")
    values["tiny_overfit"]["steps"] = 1
    run(parse_run_config(values, "t"), EXPERIMENT, tmp_path / "03")


def test_missing_audio_examples_are_named(config, tmp_path):
    values = {**config.model_dump(mode="json"), "run": "deaf"}
    without_audio = parse_run_config(values, "t")
    samples = load_samples(config.folder / "data" / "manifest.parquet")
    manifest = without_audio.folder / "data" / "manifest.parquet"
    write_manifest([s for s in samples if s.audio is None], manifest)
    (without_audio.folder / "base.json").write_bytes((config.folder / "base.json").read_bytes())
    with pytest.raises(DataError, match="no training example of task `audio` or `av`"):
        run(without_audio, EXPERIMENT, tmp_path / "03")


def test_short_run_is_inconclusive(config, tmp_path):
    values = config.model_dump(mode="json")
    values["tiny_overfit"] |= {"steps": 3, "rows": 40}
    small = parse_run_config(values, "t")
    found = verdicts(decide(small, EXPERIMENT, run(small, EXPERIMENT, tmp_path / "03")[1]))
    assert found["03.loss"] == found["03.vl_unchanged"] == "inconclusive"
    assert found["03.learning_curve"] in ("unavailable", "inconclusive")
