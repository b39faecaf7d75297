"""The history of a run: complete, in order, and not to be edited."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.errors import EvidenceError
from safe.gates.history import FILE, earlier_results, read_history
from safe.gates.run import judge_experiment, open_gate_run
from safe.gates.status import statuses, write_launch
from tests.faults import fault
from tests.unit.gates.builders import (
    CRITERIA,
    NAMES,
    copy_criteria,
    make_run,
    measure_again,
    metric,
)

WORSE = {"metrics": [metric(0.1, name="no_leakage", ci=None).model_dump(mode="json")]}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "trial")


def events(run: Path) -> list[tuple[str, str]]:
    return [(entry.event, entry.experiment[:2]) for entry in read_history(run)]


def test_measurements_and_decisions_are_recorded_in_order(run: Path) -> None:
    assert events(run) == [(e, n[:2]) for n in NAMES for e in ("measured", "judged")]
    assert not read_history(run.parent)


def test_the_same_decision_is_recorded_once(run: Path) -> None:
    before = (run / FILE).read_bytes()
    judge_experiment(open_gate_run(run), NAMES[2])
    assert (run / FILE).read_bytes() == before


@given(cut=st.integers(1, 200))
def test_unfinished_last_line_is_replaced(tmp_path_factory: pytest.TempPathFactory, cut: int):
    run = make_run(tmp_path_factory.mktemp("r") / "trial", names=NAMES[:1])
    path = run / FILE
    last = path.read_bytes().split(b"\n")[-2]
    path.write_bytes(path.read_bytes()[: -min(cut, len(last))])  # a crash in the middle of a line
    assert events(run) == [("measured", "01")]
    judge_experiment(open_gate_run(run), NAMES[0])
    assert events(run) == [("measured", "01"), ("judged", "01")]


@pytest.mark.parametrize("fault", ["edited", "removed", "swapped", "no JSON"])
@fault("records", "a NO-GO removed from the history")
def test_edited_history_is_no_go(run: Path, fault: str) -> None:
    path = run / FILE
    lines = path.read_text().splitlines()
    if fault == "edited":
        lines[1] = lines[1].replace('"GO"', '"NO-GO"')
    elif fault == "removed":
        del lines[1]
    elif fault == "swapped":
        lines[1:3] = lines[2:0:-1]
    else:
        lines[1] = "{"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(EvidenceError) as found:
        read_history(run)
    assert (found.value.where, found.value.line) == (path, 2 if fault != "edited" else 3)
    assert {statuses(run, CRITERIA)[n].status for n in NAMES[:1]} == {"no-go"}
    assert write_launch(open_gate_run(run))["verdict"] == "NO-GO"


@fault("records", "a history deleted to start afresh")
def test_deleted_history_is_no_go(run: Path) -> None:
    (run / FILE).unlink()
    row = statuses(run, CRITERIA)[NAMES[0]]
    assert row.status == "no-go"
    assert "--forcerun" in str(row.next)


@fault("records", "a threshold relaxed after a NO-GO, then measured again")
def test_edited_threshold_stays_on_record_after_measuring_again(tmp_path: Path) -> None:
    """NO-GO; the threshold is loosened and the experiment measured again: GO, but listed."""
    folder = copy_criteria(tmp_path / "hearing" / "criteria")
    path = folder / f"{NAMES[2]}.yaml"
    run = make_run(
        tmp_path / "trial", replace={"03.loss": metric(0.21, name="loss", unit="nats", ci=None)}
    )
    gates = open_gate_run(run, criteria=folder)
    assert judge_experiment(gates, NAMES[2]).verdict == "NO-GO"
    assert write_launch(gates)["earlier"] == []
    text = path.read_text()
    path.write_text(re.sub(r"(metric: loss.*?threshold:) \S+", r"\1 0.5", text, flags=re.DOTALL))
    assert path.read_text() != text
    measure_again(run, NAMES[2])
    assert judge_experiment(gates, NAMES[2]).verdict == "GO"
    [line] = write_launch(gates)["earlier"]
    assert NAMES[2] in line
    assert "other criteria" in line
    assert "NO-GO" in line


def test_earlier_measurements_are_listed_with_their_verdicts(run: Path) -> None:
    """The best of several measurements."""
    gates = open_gate_run(run)
    document = json.loads((run / NAMES[0] / "measurement.json").read_text())
    measure_again(run, NAMES[0], **WORSE)
    assert judge_experiment(gates, NAMES[0]).verdict == "NO-GO"
    measure_again(run, NAMES[0], metrics=document["metrics"], seeds={"run": 1})
    decision = judge_experiment(gates, NAMES[0])
    current = {NAMES[0]: (decision.digests["evidence"], decision.digests["criteria"])}
    [line] = earlier_results(read_history(run), current)
    assert line.count("GO (") == 2
    assert line.count("NO-GO (") == 1
