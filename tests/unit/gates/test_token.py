"""The gate opens only for GO, gives one line of reasons, and refuses edited files."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from safe.errors import EvidenceError
from safe.gates.criteria import load_criteria
from safe.gates.documents import read_decision
from safe.gates.run import judge_experiment, open_gate_run
from safe.gates.schema import Metric, decision_digest
from safe.gates.token import GateClosed, check_gate
from tests.faults import fault
from tests.unit.gates.builders import CRITERIA, NAMES, failing_value, make_run, metric_for

ALL = [(name, item) for name in NAMES for item in load_criteria(CRITERIA / f"{name}.yaml").criteria]
REQUIRED = [(name, item) for name, item in ALL if item.severity == "required"]


def gate(folder: Path) -> None:
    check_gate(open_gate_run(folder.parent), folder.name)


def upto(name: str) -> list[str]:
    return NAMES[: NAMES.index(name) + 1]


def test_go_writes_a_token_that_names_its_decision(run: Path) -> None:
    decision = run / "03_tiny_overfit" / "decision.json"
    gate(decision.parent)
    token = json.loads((decision.parent / "GO").read_text())
    assert token["decision"] == json.loads(decision.read_text())["digests"]["decision"]
    before = (decision.parent / "GO").read_bytes()
    judge_experiment(open_gate_run(run), "03_tiny_overfit")
    gate(decision.parent)
    assert (decision.parent / "GO").read_bytes() == before


@pytest.mark.parametrize(("name", "item"), REQUIRED, ids=[i.id for _, i in REQUIRED])
def test_each_failing_criterion_closes_its_gate_in_one_line(
    tmp_path: Path, name: str, item: object
) -> None:
    shown = metric_for(item, failing_value(item))  # type: ignore[arg-type]
    run = make_run(tmp_path / "r", names=upto(name), replace={item.id: shown})  # type: ignore[attr-defined]
    (run / name / "GO").write_text("an old token")
    with pytest.raises(GateClosed) as closed:
        gate(run / name)
    line = str(closed.value)
    assert line.startswith(f"NO-GO {name}: {item.id} = ")  # type: ignore[attr-defined]
    assert f"needs {item.op} " in line  # type: ignore[attr-defined]
    assert "\n" not in line
    assert not (run / name / "GO").exists()
    assert (run / name / "measurement.json").exists()


@pytest.mark.parametrize(("name", "item"), REQUIRED, ids=[i.id for _, i in REQUIRED])
def test_each_criterion_without_a_metric_closes_its_gate(
    tmp_path: Path, name: str, item: object
) -> None:
    run = make_run(tmp_path / "r", names=upto(name), replace={item.id: None})  # type: ignore[attr-defined]
    with pytest.raises(GateClosed, match="not measured"):
        gate(run / name)


def test_failing_gate_prints_value_and_bound(tmp_path: Path) -> None:
    loss = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")
    run = make_run(tmp_path / "r", replace={"03.loss": loss})
    with pytest.raises(GateClosed) as closed:
        gate(run / "03_tiny_overfit")
    assert str(closed.value) == "NO-GO 03_tiny_overfit: 03.loss = 0.21 nats, needs <= 0.05"


@fault("records", "a verdict edited in decision.json")
def test_edited_decision_closes_the_gate(tmp_path: Path) -> None:
    item = ALL[0][1]
    run = make_run(tmp_path / "r", names=upto(NAMES[0]), replace={item.id: metric_for(item, 3)})
    path = run / NAMES[0] / "decision.json"
    for old, new in (("NO-GO", "GO"), ('"fail"', '"pass"')):
        path.write_text(path.read_text().replace(old, new))
    (path.parent / "GO").write_text("an old token")
    with pytest.raises(EvidenceError, match="edited"):
        gate(path.parent)
    assert not (path.parent / "GO").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 99}', "NaN"])
def test_broken_decision_closes_the_gate(run: Path, text: str) -> None:
    path = run / NAMES[0] / "decision.json"
    path.write_text(text)
    with pytest.raises(EvidenceError) as caught:
        gate(path.parent)
    assert caught.value.hint


@fault("records", "a decision copied from another measurement")
def test_decision_about_other_evidence_closes_the_gate(run: Path) -> None:
    measured = run / NAMES[0] / "measurement.json"
    measured.write_text(measured.read_text().replace('"run": 0', '"run": 1'))
    with pytest.raises(GateClosed, match="judge again"):
        gate(run / NAMES[0])
    measured.unlink()
    with pytest.raises(GateClosed, match="measurement is missing"):
        gate(run / NAMES[0])


@fault("records", "an experiment run although the one before it was refused")
def test_measurement_made_under_a_no_go_closes_the_gate(tmp_path: Path) -> None:
    item = ALL[0][1]
    run = make_run(tmp_path / "r", names=NAMES[:2], replace={item.id: metric_for(item, 3)})
    with pytest.raises(GateClosed, match="while 01_data_preflight was NO-GO"):
        gate(run / NAMES[1])


@fault("records", "a waiver that has expired")
def test_waived_gate_closes_when_the_waiver_expires(tmp_path: Path) -> None:
    item = next(i for _, i in ALL if i.id == "03.loss")
    run = make_run(tmp_path / "r", replace={item.id: metric_for(item, 0.2)})
    path = run / "03_tiny_overfit" / "decision.json"
    evidence = json.loads(path.read_text())["digests"]["evidence"]
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"- {{run: r, experiment: 03_tiny_overfit, criterion: 03.loss, author: Ada,\n"
        f"   reason: Accepted for a test of waivers, expires: 2026-06-01, evidence: {evidence}}}\n"
    )
    gates = open_gate_run(run, waivers=waivers)
    assert judge_experiment(gates, "03_tiny_overfit", date(2026, 5, 1)).verdict == "GO"
    check_gate(gates, "03_tiny_overfit", date(2026, 6, 1))
    with pytest.raises(GateClosed, match="expired"):
        check_gate(gates, "03_tiny_overfit", date(2026, 6, 2))
    assert not (path.parent / "GO").exists()


@fault("records", "a decision forged together with its digest")
def test_decision_forged_with_its_digest_opens_nothing(tmp_path: Path) -> None:
    """As an edit of decision.json with a recomputed digest; only launch refused it before."""
    item = next(i for _, i in ALL if i.id == "03.loss")
    run = make_run(tmp_path / "r", replace={item.id: metric_for(item, 0.2)})
    path = run / "03_tiny_overfit" / "decision.json"
    decision = read_decision(path)
    passed = [c.model_copy(update={"verdict": "pass"}) for c in decision.criteria]
    forged = decision.model_copy(update={"verdict": "GO", "criteria": passed})
    digests = {**forged.digests, "decision": decision_digest(forged)}
    path.write_text(forged.model_copy(update={"digests": digests}).model_dump_json())
    with pytest.raises(GateClosed, match="judging again gives NO-GO"):
        gate(path.parent)
    assert not (path.parent / "GO").exists()
