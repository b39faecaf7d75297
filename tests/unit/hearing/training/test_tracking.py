"""Tracking: records can be read back, resumed runs continue them, nothing is uploaded."""

import importlib.util
import json
import os
import struct
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator

from safe.errors import ConfigError
from safe.hearing.config import TrackingConfig
from safe.hearing.training import trackers
from safe.hearing.training.trackers import environment, flat, missing_packages
from safe.hearing.training.tracking import close, log_step, open_accelerator
from tests.paths import ROOT

CPU = torch.device("cpu")
SETTINGS = {"steps": 6, "seed": None, "lora": {"rank": 4, "targets": ["q", "v"]}}


def installed(name):
    missing = missing_packages([name])
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def record(folder, tracker, steps, *, scale=1.0, name="stage/a"):
    """Log the given steps as one training and close the tracker."""
    accelerator = open_accelerator(
        CPU,
        tracking=TrackingConfig(trackers=[tracker], project="project"),
        folder=folder,
        run_name=name,
        settings=SETTINGS,
    )
    try:
        for step in steps:
            log_step(accelerator, {"train/loss": scale / (step + 1), "rate": 0.5}, step)
    finally:
        close(accelerator)
        close(accelerator)
    return folder / "tracking"


def losses(steps, scale=1.0):
    return [(step, pytest.approx(scale / (step + 1))) for step in steps]


# -- tensorboard ------------------------------------------------------------------------------


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    return [(e.step, e.value) for e in found.Scalars("train/loss")]


@installed("tensorboard")
def test_tensorboard_is_read_back_and_a_repeated_step_counts_once(tmp_path):
    place = record(tmp_path, "tensorboard", range(4))
    [run] = (place / "tensorboard").iterdir()
    assert scalars(run / "project") == losses(range(4))
    record(tmp_path, "tensorboard", [2, 3, 4], scale=2.0)  # resumed from a checkpoint at 2
    assert scalars(run / "project") == losses([0, 1]) + losses([2, 3, 4], 2.0)
    assert "lora.rank: 4" in next(run.rglob("hparams.yml")).read_text()
    record(tmp_path, "tensorboard", [0])  # a new run
    assert len(list((place / "tensorboard").iterdir())) == 2


# -- mlflow -----------------------------------------------------------------------------------


@installed("mlflow")
def test_mlflow_is_read_back_and_a_resumed_run_keeps_its_id(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "a folder 100%"
    place = record(folder, "mlflow", range(3))
    record(folder, "mlflow", [3, 4])
    assert "MLFLOW_TRACKING_URI" not in os.environ
    client = MlflowClient(f"sqlite:///{place}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("project")
    [run] = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in history] == losses(range(5))
    assert run.data.params["lora.targets"] == "['q', 'v']"
    assert (run.info.run_name, run.info.status) == ("stage-a", "FINISHED")
    assert not (ROOT / "mlruns").exists()
    assert experiment.artifact_location.startswith((place / "mlflow").as_uri())

    with pytest.raises(ZeroDivisionError):
        record(folder, "mlflow", [0, -1])  # 1 / (step + 1)
    failed, _ = client.search_runs([experiment.experiment_id])
    assert failed.info.status == "FAILED"


# -- wandb ------------------------------------------------------------------------------------


def wandb_records(path):
    """Records of a `.wandb` file, which is a LevelDB log after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    block, full, last = 32768, 1, 4
    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (full, last):
            yield Record.FromString(part)
            part = b""


def wandb_history(path):
    rows = []
    for found in wandb_records(path):
        if found.HasField("history"):
            items = found.history.item
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}
            rows.append((row["_step"], row["train/loss"]))
    return rows


def wandb_runs(place):
    """Segments, oldest first, as (id of the run, file)."""
    found = (place / "wandb").glob("offline-run-*/run-*.wandb")
    return [(p.stem.removeprefix("run-"), p) for p in sorted(found)]


@installed("wandb")
def test_wandb_is_read_back_offline_and_a_resumed_run_keeps_its_id(tmp_path, capfd):
    place = record(tmp_path, "wandb", range(3))
    [(first, path)] = wandb_runs(place)
    assert wandb_history(path) == losses(range(3))
    [run] = [r.run for r in wandb_records(path) if r.HasField("run") and r.run.config.update]
    assert (run.run_id, run.project, run.display_name) == (first, "project", "stage-a")
    settings = {}
    for found in wandb_records(path):
        changes = [*found.run.config.update, *found.config.update]
        settings |= {c.key or "/".join(c.nested_key): c.value_json for c in changes}
    assert settings["lora.rank"] == "4"

    record(tmp_path, "wandb", [3, 4])
    by_id = [i for i, _ in wandb_runs(place)]
    assert by_id == [first, first]
    everything = [row for _, p in wandb_runs(place) for row in wandb_history(p)]
    assert sorted(everything) == losses(range(5))
    record(tmp_path, "wandb", [0])
    assert len({i for i, _ in wandb_runs(place)}) == 2
    assert capfd.readouterr() == ("", "")


@installed("wandb")
def test_online_without_a_login_is_refused_before_training(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    tracking = TrackingConfig(trackers=["wandb"], online=True)
    with pytest.raises(ConfigError, match=r"tracking\.online.*no key"):
        open_accelerator(CPU, tracking=tracking, folder=tmp_path)


# -- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tracker", "package"),
    [
        ("wandb", "wandb"),
        ("tensorboard", "tensorboard"),
        ("mlflow", "mlflow"),
        ("mlflow", "alembic"),
    ],
)
def test_missing_tracker_package_is_named(tmp_path, monkeypatch, tracker, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == package else find(n, *a)
    )
    tracking = TrackingConfig(trackers=[tracker])
    with pytest.raises(ConfigError) as raised:
        open_accelerator(CPU, tracking=tracking, folder=tmp_path)
    assert raised.value.key == "tracking.trackers"
    assert package in raised.value.what
    assert "safe[tracking]" in str(raised.value.hint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracking", [None, TrackingConfig()])
def test_without_trackers_nothing_is_written(tmp_path, monkeypatch, tracking):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trackers, "import_module", None)
    accelerator = open_accelerator(CPU, tracking=tracking, folder=tmp_path, run_name="x")
    log_step(accelerator, {"loss": 1.0}, 0)
    close(accelerator)
    assert accelerator.trackers == []
    assert list(tmp_path.iterdir()) == []


@installed("tensorboard")
def test_training_without_steps_does_not_change_the_record(tmp_path):
    place = record(tmp_path, "tensorboard", range(2))
    before = sorted(place.rglob("*"))
    record(tmp_path, "tensorboard", [])  # its checkpoint was at the last step
    assert sorted(place.rglob("*")) == before
    other = record(tmp_path / "other", "tensorboard", [])
    assert not other.exists()


def test_precision_can_change_within_a_process():
    for precision in ("no", "bf16", "no"):
        accelerator = open_accelerator(CPU, mixed_precision=precision)
        assert isinstance(accelerator, Accelerator)
        assert (accelerator.device, accelerator.mixed_precision) == (CPU, precision)
        layer = accelerator.prepare(torch.nn.Linear(2, 2))
        with accelerator.autocast():
            inner = torch.mm(layer.weight, layer.weight).dtype
        assert inner == (torch.bfloat16 if precision == "bf16" else torch.float32)
        assert accelerator.gradient_accumulation_steps == 1
        assert accelerator.ddp_handler.broadcast_buffers is False


def test_configured_server_is_used_only_online(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_SILENT", raising=False)
    for online in (True, False):
        with environment(TrackingConfig(trackers=["mlflow", "wandb"], online=online), tmp_path):
            assert (os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9") == online
            assert os.environ["WANDB_SILENT"] == "true"
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"
        assert "WANDB_SILENT" not in os.environ


def test_settings_are_flattened():
    assert flat({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": True}) == {
        "a.b.c": 1,
        "a.d": "[1, 2]",
        "e": "None",
        "f": True,
    }


OFFLINE = """
import sys
reached = []
def watch(event, args):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(args[1], tuple)):
        reached.append(args[-1])
sys.addaudithook(watch)
from pathlib import Path
import torch
from safe.hearing.config import TrackingConfig
from safe.hearing.training.tracking import close, log_step, open_accelerator
tracking = TrackingConfig(trackers=sys.argv[2:])
accelerator = open_accelerator(torch.device("cpu"), tracking=tracking, folder=Path(sys.argv[1]))
for step in range(3):
    log_step(accelerator, {"loss": 1.0}, step)
close(accelerator)
assert not reached, reached
"""


def test_tracking_sends_prints_and_writes_nothing_elsewhere(tmp_path):
    """wandb's service is a separate process; its proxy settings point to a port of the test."""
    import socket

    available = [t for t in trackers.names() if not missing_packages([t])]
    home, folder = tmp_path / "home", tmp_path / "results"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        hidden = ("CI", "PYTEST", "WANDB", "MLFLOW", "XDG", "GITHUB", "MPLCONFIG")
        kept = {n: v for n, v in os.environ.items() if not n.startswith(hidden)}
        done = subprocess.run(
            [sys.executable, "-c", OFFLINE, str(folder), *available],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": ".", "HOME": str(home)}
            | {
                "HTTP_PROXY": proxy,
                "HTTPS_PROXY": proxy,
                "http_proxy": proxy,
                "https_proxy": proxy,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with pytest.raises(TimeoutError):
            server.accept()
    assert list(home.rglob("*")) == []
    assert [p.name for p in folder.iterdir()] == ["tracking"]
    assert {t for t in available if (folder / "tracking" / t).is_dir()} == set(available)
