"""The launch token, and signatures that die with their evidence or their page."""

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
    measurement,
    metric,
    toy_criteria,
    write_config,
    write_measurement,
)

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def ready(tmp_path: Path) -> GateRun:
    """A run of one experiment that supports every launch item, and one that is optional."""
    folder = toy_criteria(tmp_path / "criteria")
    run, waivers = tmp_path / "a run", tmp_path / "waivers.yaml"
    waivers.write_text("[]")
    write_config(run, waivers, criteria=str(folder), scale="full")
    made_of: dict[str, dict[str, Any]] = {
        "01_made_up": {"launch_items": TOY_ITEMS},
        "02_extra": {"optional": True},
    }
    for name, options in made_of.items():
        made = criteria_of(criterion(id=f"{name[:2]}.share"), name=name, **options)
        (folder / f"{name}.yaml").write_text(json.dumps(made.model_dump(mode="json")))
        write_measurement(run, measurement(metric(), criteria=made, run="a run"))
    gates = open_gate_run(run)
    for name in made_of:
        judge_experiment(gates, name)
    return gates


def spoil(gates: GateRun, name: str, value: float = 0.5) -> None:
    """Measure and judge again, worse."""
    path = gates.folder / name / "measurement.json"
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] = value
    path.write_text(json.dumps(document))
    judge_experiment(gates, name)


def safe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_launch_that_is_go_leaves_a_token_that_does_not_change(ready: GateRun) -> None:
    done = safe("launch", ready.folder)
    assert (done.exit_code, done.output) == (0, "launch GO: a run\n")
    token = (ready.folder / "LAUNCH").read_bytes()
    assert json.loads(safe("launch", ready.folder, "--json").output)["verdict"] == "GO"
    assert (ready.folder / "LAUNCH").read_bytes() == token


def test_a_launch_without_criteria_is_a_fault_of_the_command_and_leaves_the_token(
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


def test_a_no_go_takes_the_token_away_and_says_why(ready: GateRun) -> None:
    check_launch(ready)
    spoil(ready, "01_made_up")
    done = safe("launch", ready.folder)
    assert done.exit_code == 1
    assert "01_made_up is no-go: 01.share = 0.5" in done.stderr
    assert not (ready.folder / "LAUNCH").exists()


def test_the_page_of_a_no_go_takes_the_token_away_too(ready: GateRun) -> None:
    check_launch(ready)
    spoil(ready, "02_extra")
    render(ready)
    assert (ready.folder / "LAUNCH").exists()  # that one is optional
    spoil(ready, "01_made_up")
    render(ready)
    assert not (ready.folder / "LAUNCH").exists()


def test_a_run_without_experiments_is_no_launch(ready: GateRun) -> None:
    for path in ready.criteria.glob("*.yaml"):
        path.unlink()
    with pytest.raises(GateClosed, match="no experiment supports it"):
        check_launch(ready)


def test_a_decision_that_is_stale_is_no_launch(ready: GateRun) -> None:
    """Criteria that changed, an edited decision, and another measurement under an old decision."""
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
    measured = decision.with_name("measurement.json")
    measured.write_text(measured.read_text().replace("0.97", "0.98"))
    with pytest.raises(GateClosed, match="measured again since it was judged"):
        check_launch(ready)


def test_an_optional_no_go_does_not_stop_it_but_is_another_launch(ready: GateRun) -> None:
    before = evidence_of(check_launch(ready))
    spoil(ready, "02_extra")
    assert evidence_of(check_launch(ready)) != before


# Signatures --------------------------------------------------------------------------------------


def test_a_signed_copy_holds_name_time_and_digest(ready: GateRun) -> None:
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


def test_a_no_go_is_not_signed(ready: GateRun) -> None:
    spoil(ready, "01_made_up")
    done = safe("sign", ready.folder, "--name", "Ada")
    assert done.exit_code == 1
    assert "launch NO-GO" in done.stderr
    assert not (ready.folder / "signed").exists()


def test_a_signature_dies_with_its_evidence_or_its_page(ready: GateRun) -> None:
    launch = check_launch(ready)
    folder = write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    assert [s.fault for s in read_signatures(ready.folder, launch)] == [None]
    spoil(ready, "02_extra")
    [standing] = read_signatures(ready.folder, write_launch(ready))
    assert standing.fault == "the evidence has changed since it was signed"
    assert "signature invalid: the evidence has changed" in render(ready).read_text()
    (folder / "launch_checklist.html").write_text("another page")
    [standing] = read_signatures(ready.folder, launch)
    assert standing.fault == "the page was changed after it was signed"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}'])
def test_a_broken_signature_is_shown_and_holds_nothing(ready: GateRun, text: str) -> None:
    launch = check_launch(ready)
    folder = write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    (folder / "signature.json").write_text(text)
    [standing] = read_signatures(ready.folder, launch)
    assert standing.signature is None
    assert "signature.json" in str(standing.fault)
    assert "signature invalid" in render(ready).read_text()


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_signature_needs_a_name(ready: GateRun, name: str) -> None:
    with pytest.raises(EvidenceError, match="name"):
        write_signature(ready.folder, check_launch(ready), "a page", name=name)
    assert list((ready.folder / "signed").iterdir()) == []


def test_two_signatures_in_one_second_do_not_meet(ready: GateRun) -> None:
    launch = check_launch(ready)
    write_signature(ready.folder, launch, "a page", name="Ada", now=WHEN)
    with pytest.raises(EvidenceError, match="of this second"):
        write_signature(ready.folder, launch, "a page", name="Bob", now=WHEN)


def test_a_run_that_is_not_through_is_no_launch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    with pytest.raises(GateClosed, match="04_stage_a_pilot is not-run"):
        check_launch(open_gate_run(run))
