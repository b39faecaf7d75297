"""The launch token, and signatures that become invalid with other evidence or an edited page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from safe.cli import app
from safe.errors import ConfigError, EvidenceError
from safe.gates.launching import check_launch, evidence_of
from safe.gates.run import GateRun, judge_experiment, open_gate_run
from safe.gates.signatures import read_signatures, write_signature
from safe.gates.status import write_launch
from safe.gates.token import GateClosed
from safe.report.page import render
from tests.unit.gates.builders import (
    TOY_ITEMS,
    criteria_of,
    criterion,
    make_run,
    measure_again,
    measurement,
    metric,
    toy_criteria,
    write_config,
    write_measurement,
)

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def ready(tmp_path: Path) -> GateRun:
    """A run with one experiment that supports every launch item and one optional experiment."""
    folder = toy_criteria(tmp_path / "criteria")
    run, waivers = tmp_path / "a run", tmp_path / "waivers.yaml"
    waivers.write_text("[]")
    write_config(run, waivers, criteria=str(folder), scale="full")
    options_of: dict[str, dict[str, Any]] = {
        "01_made_up": {"launch_items": TOY_ITEMS},
        "02_extra": {"optional": True},
    }
    for name, options in options_of.items():
        made = criteria_of(criterion(id=f"{name[:2]}.share"), name=name, **options)
        (folder / f"{name}.yaml").write_text(json.dumps(made.model_dump(mode="json")))
        write_measurement(run, measurement(metric(), criteria=made, run="a run"))
    gates = open_gate_run(run)
    for name in options_of:
        judge_experiment(gates, name)
    return gates


def worsen(gates: GateRun, name: str, value: float = 0.5) -> None:
    """Replace the measured value by a worse one and judge again."""
    worse = metric(value, ci=None)
    measure_again(gates.folder, name, metrics=[worse.model_dump(mode="json")])
    judge_experiment(gates, name)


def safe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_launch_go_writes_a_token_that_does_not_change(ready: GateRun) -> None:
    done = safe("launch", ready.folder)
    assert (done.exit_code, done.output) == (0, "launch GO: a run\n")
    token = (ready.folder / "LAUNCH").read_bytes()
    assert json.loads(safe("launch", ready.folder, "--json").output)["verdict"] == "GO"
    assert (ready.folder / "LAUNCH").read_bytes() == token


def test_launch_with_missing_criteria_is_an_error_and_keeps_the_token(
    ready: GateRun, tmp_path: Path
) -> None:
    check_launch(ready)
    kept = [(ready.folder / name).read_bytes() for name in ("LAUNCH", "launch.json")]
    elsewhere = tmp_path / "config" / "hearing" / "criteria"
    refused = safe("launch", ready.folder, "--criteria", elsewhere)
    assert isinstance(refused.exception, ConfigError)
    assert str(elsewhere) in str(refused.exception)
    assert "--criteria" in str(refused.exception)
    assert [(ready.folder / name).read_bytes() for name in ("LAUNCH", "launch.json")] == kept


def test_launch_no_go_removes_the_token_and_gives_the_reason(ready: GateRun) -> None:
    check_launch(ready)
    worsen(ready, "01_made_up")
    done = safe("launch", ready.folder)
    assert done.exit_code == 1
    assert "01_made_up is no-go: 01.share = 0.5" in done.stderr
    assert not (ready.folder / "LAUNCH").exists()


def test_rendering_a_no_go_removes_the_token_too(ready: GateRun) -> None:
    check_launch(ready)
    worsen(ready, "02_extra")
    render(ready)
    assert (ready.folder / "LAUNCH").exists()  # this experiment is optional
    worsen(ready, "01_made_up")
    render(ready)
    assert not (ready.folder / "LAUNCH").exists()


def test_run_without_experiments_is_no_launch(ready: GateRun) -> None:
    for path in ready.criteria.glob("*.yaml"):
        path.unlink()
    with pytest.raises(GateClosed, match="no experiment supports it"):
        check_launch(ready)


def test_stale_decision_is_no_launch(ready: GateRun) -> None:
    """Changed criteria, an edited decision, and a measurement newer than its decision."""
    path = ready.criteria / "01_made_up.yaml"
    text = path.read_text()
    path.write_text(text.replace("0.9,", "0.91,"))
    with pytest.raises(GateClosed, match="01_made_up is stale: its criteria changed"):
        check_launch(ready)
    path.write_text(text)
    check_launch(ready)
    decision = ready.folder / "01_made_up" / "decision.json"
    kept = decision.read_text()
    decision.write_text(kept.replace("0.97", "0.99"))
    with pytest.raises(GateClosed, match="edited after judging"):
        check_launch(ready)
    decision.write_text(kept)
    measure_again(ready.folder, "01_made_up", seeds={"run": 1})
    with pytest.raises(GateClosed, match="measured again since it was judged"):
        check_launch(ready)


def test_optional_no_go_does_not_block_but_changes_the_evidence(ready: GateRun) -> None:
    before = evidence_of(check_launch(ready))
    worsen(ready, "02_extra")
    assert evidence_of(check_launch(ready)) != before


# Signatures --------------------------------------------------------------------------------------


def test_signed_copy_holds_name_time_and_digest(ready: GateRun) -> None:
    done = safe("sign", ready.folder, "--name", " Ada <L> ", "--comment", "seen & read")
    assert done.exit_code == 0, done.output
    [folder] = (ready.folder / "signed").iterdir()
    kept = json.loads((folder / "signature.json").read_text())
    assert (kept["name"], kept["verdict"]) == ("Ada <L>", "GO")
    assert kept["evidence"] == json.loads((ready.folder / "LAUNCH").read_text())["evidence"]
    assert datetime.fromisoformat(kept["time"]).tzinfo is not None
    page = (ready.folder / "launch_checklist.html").read_text()
    assert "Ada &lt;L&gt;" in page
    assert "signature invalid" not in page


def test_no_go_cannot_be_signed(ready: GateRun) -> None:
    worsen(ready, "01_made_up")
    done = safe("sign", ready.folder, "--name", "Ada")
    assert done.exit_code == 1
    assert "launch NO-GO" in done.stderr
    assert not (ready.folder / "signed").exists()


def test_signature_is_invalid_after_evidence_or_page_changed(ready: GateRun) -> None:
    launch = check_launch(ready)
    folder = write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    assert [s.fault for s in read_signatures(ready.folder, launch)] == [None]
    worsen(ready, "02_extra")
    [signature] = read_signatures(ready.folder, write_launch(ready))
    assert signature.fault == "the evidence has changed since it was signed"
    assert "signature invalid: the evidence has changed" in render(ready).read_text()
    (folder / "launch_checklist.html").write_text("another page")
    [signature] = read_signatures(ready.folder, launch)
    assert signature.fault == "the page was changed after it was signed"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}'])
def test_broken_signature_is_shown_as_invalid(ready: GateRun, text: str) -> None:
    launch = check_launch(ready)
    folder = write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    (folder / "signature.json").write_text(text)
    [signature] = read_signatures(ready.folder, launch)
    assert signature.signature is None
    assert "signature.json" in str(signature.fault)
    assert "signature invalid" in render(ready).read_text()


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_signature_without_a_valid_name_is_refused(ready: GateRun, name: str) -> None:
    with pytest.raises(EvidenceError, match="name"):
        write_signature(ready.folder, check_launch(ready), "a page", name=name)
    assert list((ready.folder / "signed").iterdir()) == []


def test_second_signature_in_the_same_second_is_refused(ready: GateRun) -> None:
    launch = check_launch(ready)
    write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    with pytest.raises(EvidenceError, match="of this second"):
        write_signature(ready.folder, launch, "a page", name="Bob", now=WHEN)


def test_unfinished_run_is_no_launch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    with pytest.raises(GateClosed, match="04_stage_a_pilot is not-run"):
        check_launch(open_gate_run(run))
