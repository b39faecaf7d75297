"""Nothing is measured or trained behind a closed gate."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from safe.errors import EvidenceError
from safe.gates.documents import read_decision
from safe.gates.schema import Metric, decision_digest
from safe.pipeline.config import RunSettings
from safe.pipeline.runner import _git_state, check_upstream
from tests.unit.gates.builders import make_run

BAD_LOSS = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")


def settings_of(run: Path) -> RunSettings:
    """Settings of a run folder, as far as upstream decisions need them."""
    values = json.loads((run / "config.json").read_text())
    kept = {key: values[key] for key in ("criteria", "waivers", "scale")}
    return RunSettings(run=run.name, pipeline="hearing", seed=0, results=run.parent, **kept)


def test_upstream_go_is_accepted(tmp_path: Path) -> None:
    found = check_upstream(
        settings_of(make_run(tmp_path / "r")), ["01_data_preflight", "03_tiny_overfit"]
    )
    assert {parent.verdict for parent in found.values()} == {"GO"}


def test_upstream_no_go_is_refused(tmp_path: Path) -> None:
    run = settings_of(make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS}))
    with pytest.raises(EvidenceError, match="03_tiny_overfit is NO-GO"):
        check_upstream(run, ["01_data_preflight", "03_tiny_overfit"])


def test_missing_upstream_decision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        check_upstream(settings_of(make_run(tmp_path / "r")), ["04_stage_a_pilot"])


def test_forged_decision_stops_what_needs_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    path = run / "03_tiny_overfit" / "decision.json"
    decision = read_decision(path)
    passed = [c.model_copy(update={"verdict": "pass"}) for c in decision.criteria]
    forged = decision.model_copy(update={"verdict": "GO", "criteria": passed})
    digests = {**forged.digests, "decision": decision_digest(forged)}
    path.write_text(forged.model_copy(update={"digests": digests}).model_dump_json())
    with pytest.raises(EvidenceError, match="judging again gives NO-GO"):
        check_upstream(settings_of(run), ["03_tiny_overfit"])


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_git_state_is_that_of_the_package_and_not_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, elsewhere = tmp_path / "code" / "package", tmp_path / "elsewhere"
    for folder in (package, elsewhere):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        git(folder, "init", "-q")
    git(package, "add", ".")
    git(package, "commit", "-qm", "first")
    monkeypatch.chdir(elsewhere)
    commit = git(package, "rev-parse", "HEAD")
    assert _git_state(package) == {"git_commit": commit, "git_dirty": False}
    (package / "__init__.py").write_text("changed = True")
    assert _git_state(package) == {"git_commit": commit, "git_dirty": True}
    # installed: in a folder of a repository that does not track it
    assert _git_state(elsewhere) == {"git_commit": None, "git_dirty": None}
