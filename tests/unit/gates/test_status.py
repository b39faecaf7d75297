"""Status of a run, from its files only."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from safe.errors import EvidenceError
from safe.gates.criteria import load_all, load_criteria
from safe.gates.run import GateRun, judge_experiment, open_gate_run
from safe.gates.schema import Decision, Metric, Parent, decision_digest
from safe.gates.status import decision_parent, rows_of, statuses, write_launch
from tests.faults import fault
from tests.unit.gates.builders import (
    CRITERIA,
    NAMES,
    TOY_ITEMS,
    copy_criteria,
    criteria_of,
    criterion,
    make_run,
    measure_again,
    measurement,
    metric,
    toy_criteria,
    write_measurement,
)

BAD_LOSS = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")
IN_A_MONTH = (date.today() + timedelta(days=30)).isoformat()


def status_by_number(run: Path) -> dict[str, str]:
    return {name[:2]: row.status for name, row in statuses(run, CRITERIA).items()}


def test_three_go_and_the_rest_not_run(run: Path) -> None:
    found = status_by_number(run)
    assert [found[n] for n in ("01", "02", "03")] == ["go"] * 3
    assert set(found.values()) == {"go", "not-run"}


def test_missing_run_is_not_run(tmp_path: Path) -> None:
    assert set(status_by_number(tmp_path / "nowhere").values()) == {"not-run"}


def test_no_go_blocks_everything_downstream(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    rows = statuses(run, CRITERIA)
    assert [rows[n].status for n in NAMES] == ["go", "go", "no-go"]
    later = [row for name, row in rows.items() if name[:2] > "03"]
    assert {row.status for row in later} == {"blocked"}
    assert all("03.loss = 0.21 nats" in row.reason for row in later)
    assert all(row.next and "explain 03" in row.next for row in later)


def test_upstream_no_go_blocks_experiments_that_were_go(run: Path) -> None:
    path = run / NAMES[1] / "measurement.json"
    document = json.loads(path.read_text())
    document["metrics"][0]["provenance"] = "simulated"
    measure_again(run, NAMES[1], metrics=document["metrics"])
    judge_experiment(open_gate_run(run), NAMES[1])
    assert status_by_number(run)["03"] == "blocked"
    assert statuses(run, CRITERIA)[NAMES[2]].verdict == "GO"


@fault("records", "an experiment measured on an earlier adapter")
def test_decision_based_on_earlier_evidence_is_stale(run: Path) -> None:
    measure_again(run, NAMES[0], seeds={"run": 9})
    assert status_by_number(run)["01"] == "stale"  # measured again, not judged again
    judge_experiment(open_gate_run(run), NAMES[0])
    rows = statuses(run, CRITERIA)
    assert [rows[n].status for n in NAMES] == ["go", "stale", "stale"]
    assert "evidence of 01_data_preflight has changed" in rows[NAMES[1]].reason
    assert "--forcerun" in str(rows[NAMES[1]].next)


def test_judging_again_makes_no_experiment_stale(run: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("decision.json")}
    edited = copy_criteria(tmp_path / "criteria")
    path = edited / f"{NAMES[0]}.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("threshold: 0.95", "threshold: 0.9"), encoding="utf-8")
    assert statuses(run, edited)[NAMES[0]].status == "stale"  # judged by other criteria
    changed = judge_experiment(open_gate_run(run, criteria=edited), NAMES[0])
    assert changed.criteria_changed_after_measuring
    rows = statuses(run, edited)
    assert [rows[n].status for n in NAMES] == ["go"] * 3
    judge_experiment(open_gate_run(run), NAMES[0])
    assert {p: p.read_bytes() for p in run.rglob("decision.json")} == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["measurement.json", "decision.json"])
def test_broken_file_is_a_no_go_with_its_reason(run: Path, name: str, file: str) -> None:
    path = run / name / file
    path.write_text(path.read_text()[: len(path.read_text()) // 2])
    row = statuses(run, CRITERIA)[name]
    assert row.status == "no-go"
    assert "broken JSON" in row.reason
    assert "\n" not in row.reason


def test_edited_decision_is_a_no_go(run: Path) -> None:
    path = run / NAMES[2] / "decision.json"
    path.write_text(path.read_text().replace('"value": 0.025', '"value": 0.001'))
    assert "edited" in statuses(run, CRITERIA)[NAMES[2]].reason


def forge(path: Path, **changes: Any) -> None:
    """Edit a decision and update its digest."""
    decision = Decision.model_validate(json.loads(path.read_text()) | changes)
    digests = {**decision.digests, "decision": decision_digest(decision)}
    document = decision.model_copy(update={"digests": digests}).model_dump(mode="json")
    path.write_text(json.dumps(document))


def test_forged_verdict_with_matching_digest_is_stale(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    path = run / NAMES[2] / "decision.json"
    judged = json.loads(path.read_text())["criteria"]
    forge(path, verdict="GO", criteria=[c | {"verdict": "pass"} for c in judged])
    row = statuses(run, CRITERIA)[NAMES[2]]
    assert row.status == "stale"
    assert row.reason == "its decision is GO, but judging again gives NO-GO"
    assert "safe judge" in str(row.next)


@fault("records", "a limit edited inside a decision")
def test_forged_margin_is_named(run: Path) -> None:
    path = run / NAMES[2] / "decision.json"
    judged = json.loads(path.read_text())["criteria"]
    forge(path, criteria=[judged[0] | {"margin": 99.0}, *judged[1:]])
    row = statuses(run, CRITERIA)[NAMES[2]]
    assert row.status == "stale"
    assert row.reason.endswith(judged[0]["id"])


def test_changed_or_unreadable_waivers_do_not_count(run: Path, tmp_path: Path) -> None:
    gates = open_gate_run(run, waivers=tmp_path / "waivers.yaml")
    gates.waivers.write_text(
        json.dumps(
            [
                {
                    "run": run.name,
                    "experiment": NAMES[1],
                    "criterion": load_criteria(CRITERIA / f"{NAMES[1]}.yaml").criteria[0].id,
                    "author": "A. Person",
                    "reason": "a waiver that nothing needs, only to see",
                    "expires": IN_A_MONTH,
                    "evidence": "0" * 64,
                }
            ]
        )
    )
    rows = rows_of(gates, load_all(CRITERIA))
    assert rows[NAMES[1]].reason == "its waivers changed since it was judged"
    gates.waivers.write_text("{")
    assert rows_of(gates, load_all(CRITERIA))[NAMES[0]].status == "no-go"


def test_measurement_without_its_upstream_is_stale(run: Path) -> None:
    measure_again(run, NAMES[2], upstream={})
    judge_experiment(open_gate_run(run), NAMES[2])
    assert status_by_number(run)["03"] == "stale"


def test_parent_is_the_current_decision(run: Path, tmp_path: Path) -> None:
    parent = decision_parent(run, NAMES[0])
    recorded = json.loads((run / NAMES[1] / "measurement.json").read_text())["upstream"][NAMES[0]]
    assert parent == Parent.model_validate(recorded)
    with pytest.raises(EvidenceError, match="no such file"):
        decision_parent(tmp_path, NAMES[0])


# Launch ------------------------------------------------------------------------------------------


def test_launch_is_no_go_while_experiments_are_not_run(run: Path) -> None:
    launch = write_launch(open_gate_run(run))
    assert launch == json.loads((run / "launch.json").read_text())
    assert launch["verdict"] == "NO-GO"
    assert len(launch["experiments"]) == 12
    assert len(launch["items"]) == 6
    assert launch["items"]["base_parity"]["verdict"] == "GO"
    assert launch["items"]["metrics"]["reasons"] == ["07_evaluation_harness is not-run"]
    assert not any("12_rl_gate" in reason for reason in launch["reasons"])


def gates_of(run: Path, criteria: Path) -> GateRun:
    waivers = criteria.parent / "none.yaml"
    return open_gate_run(run, criteria=criteria, waivers=waivers, scale="full")


def made_up(tmp_path: Path, optional_value: float = 0.97) -> tuple[Path, Path]:
    """A run with one experiment that supports every launch item and one optional experiment."""
    folder, run = toy_criteria(tmp_path / "criteria"), tmp_path / "trial"
    (tmp_path / "none.yaml").write_text("[]")
    for name, options, value in (
        ("01_made_up", {"launch_items": TOY_ITEMS}, 0.97),
        ("02_extra", {"optional": True}, optional_value),
    ):
        made = criteria_of(criterion(id=f"{name[:2]}.share"), name=name, **options)
        (folder / f"{name}.yaml").write_text(json.dumps(made.model_dump(mode="json")))
        write_measurement(run, measurement(metric(value), criteria=made, run="trial"))
        judge_experiment(gates_of(run, folder), name)
    return run, folder


def test_launch_is_go_when_all_experiments_are(tmp_path: Path) -> None:
    run, folder = made_up(tmp_path)
    launch = write_launch(gates_of(run, folder))
    assert (launch["verdict"], launch["reasons"]) == ("GO", [])


def test_optional_no_go_is_shown_and_does_not_block(tmp_path: Path) -> None:
    run, folder = made_up(tmp_path, optional_value=0.5)
    launch = write_launch(gates_of(run, folder))
    assert launch["experiments"]["02_extra"]["status"] == "no-go"
    assert launch["verdict"] == "GO"


@fault("records", "a launch item that nothing supports")
def test_launch_item_without_an_experiment_is_no_go(tmp_path: Path) -> None:
    run, folder = made_up(tmp_path)
    path = folder / "01_made_up.yaml"
    path.write_text(path.read_text().replace(', "metrics"', ""))
    judge_experiment(gates_of(run, folder), "01_made_up")
    launch = write_launch(gates_of(run, folder))
    assert launch["verdict"] == "NO-GO"
    assert launch["items"]["metrics"]["reasons"] == ["no experiment supports it"]


def test_broken_criteria_file_is_a_no_go_and_not_a_crash(run: Path, tmp_path: Path) -> None:
    edited = copy_criteria(tmp_path / "criteria")
    (edited / f"{NAMES[1]}.yaml").write_text("criteria: [")
    launch = write_launch(open_gate_run(run, criteria=edited))
    rows = launch["experiments"]
    assert rows[NAMES[1]]["status"] == "no-go"
    assert "cannot be read" in rows[NAMES[1]]["reason"]
    assert rows[NAMES[2]]["status"] == "blocked"


def test_broken_pipeline_file_is_a_no_go_and_not_a_crash(tmp_path: Path) -> None:
    run, folder = made_up(tmp_path)
    gates = gates_of(run, folder)
    (tmp_path / "pipeline.yaml").write_text("title: [")
    launch = write_launch(gates)
    assert launch["verdict"] == "NO-GO"
    assert any("pipeline.yaml" in reason for reason in launch["reasons"])
