"""`safe doctor` finds faults of a machine and gives hints."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from safe import doctor
from safe.cli import app
from safe.doctor import Check, examine, read_lock
from safe.hearing.evaluation import caption_java
from tests.paths import ROOT


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def config_file(tmp_path: Path, **changes: object) -> Path:
    values = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    values |= {"results": str(tmp_path / "results"), "cache": str(tmp_path / "cache")}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return path


def found(path: Path) -> dict[str, Check]:
    checks = examine(path, devices=False)
    assert all(c.hint for c in checks if c.state == "fail")
    return {c.name: c for c in checks}


def test_default_run_needs_neither_hub_nor_data(tmp_path: Path) -> None:
    checks = found(config_file(tmp_path))
    assert checks["base"].state == "ok"
    assert checks["data world_vqa"].found == "made by the run"
    assert checks["criteria"].state == "ok"
    assert checks["results"].state == "ok"


def test_missing_data_and_unknown_keys_fail(tmp_path: Path) -> None:
    dataset = {"name": "mine", "layout": "gqa", "root": "not/here", "splits": {"train": "train"}}
    assert found(config_file(tmp_path, world=None, datasets=[dataset]))["data mine"].state == "fail"
    broken = found(config_file(tmp_path, sead=1))["config"]
    assert broken.state == "fail"
    assert "did you mean `seed`?" in broken.found


def test_criteria_and_waivers_are_checked(tmp_path: Path) -> None:
    checks = found(config_file(tmp_path, waivers=str(tmp_path / "none.yaml")))
    assert checks["criteria"].state == "fail"
    assert "none.yaml" in checks["criteria"].found


def test_unreachable_hub_fails_if_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = config_file(tmp_path, base={"vlm": "some/vlm", "audio_encoder": "some/audio_encoder"})
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert found(named)["hub"].state == "fail"
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc/passwd")
    assert "no web address" in found(named)["hub"].found
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert found(named)["hub"].state == "warn"
    folders = config_file(tmp_path, base={"vlm": str(tmp_path), "audio_encoder": str(tmp_path)})
    assert found(folders)["base"].state == "ok"


def test_full_disk_and_unwritable_folder_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.DISK_GB, "miniature", 10**9)
    assert "free some space" in found(config_file(tmp_path))["results"].hint
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written" in found(config_file(tmp_path))["cache"].found


def test_missing_java_and_git_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = found(config_file(tmp_path))
    assert (checks["java"].state, checks["git"].state) == ("warn", "warn")
    assert "METEOR" in checks["java"].hint


def test_spice_without_its_parser_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = tmp_path / "spice" / "lib"
    lib.mkdir(parents=True)
    monkeypatch.setattr(caption_java, "package", lambda: tmp_path)
    check = found(config_file(tmp_path))["spice"]
    assert (check.state, "get_stanford_models" in check.hint) == ("warn", True)
    for name in caption_java.SPICE_JARS:
        (lib / name).touch()
    assert found(config_file(tmp_path))["spice"].state == "ok"


def test_configured_tracker_that_is_not_installed_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(config_file(tmp_path))["tracking"].found == "wandb; kept in results"
    without_trackers = config_file(tmp_path, tracking={"trackers": []})
    assert found(without_trackers)["tracking"].found.startswith("none wanted")
    with_trackers = config_file(tmp_path, tracking={"trackers": ["tensorboard", "mlflow"]})
    monkeypatch.setattr(doctor, "missing_packages", lambda names: [])
    assert found(with_trackers)["tracking"].found == "tensorboard, mlflow; kept in results"
    monkeypatch.setattr(doctor, "missing_packages", lambda names: [*names][1:])
    check = found(with_trackers)["tracking"]
    assert (check.state, check.found) == ("fail", "not installed: mlflow")


def test_packages_are_compared_with_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("pydantic==0.0.1\nno-such-package-here==1.0  # why\n# comment\n")
    assert read_lock(lock) == {"pydantic": "0.0.1", "no-such-package-here": "1.0"}
    missing, other = doctor._packages(lock)
    assert (missing.state, other.state) == ("fail", "warn")
    assert "pydantic" in other.found
    [none] = doctor._packages(tmp_path / "nothing.lock")
    assert none.state == "warn"


def test_configured_gpu_that_is_missing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safe.hearing.config import load_run_config

    monkeypatch.setattr(doctor, "DEVICES", "print('[\"2.0\", []]')")
    config = load_run_config(config_file(tmp_path, device="cuda"))
    assert doctor._devices(config).state == "fail"
    assert doctor._devices(load_run_config(config_file(tmp_path))).state == "ok"
    monkeypatch.setattr(doctor, "DEVICES", "raise SystemExit(1)")
    assert "torch does not start" in doctor._devices(config).found


def test_command_prints_json_and_exits_with_1_on_a_failure(tmp_path: Path) -> None:
    path = config_file(tmp_path, sead=1)
    done = CliRunner().invoke(app, ["doctor", "--config", str(path), "--no-devices", "--json"])
    assert done.exit_code == 1
    assert {c["name"]: c["state"] for c in json.loads(done.output)}["config"] == "fail"
