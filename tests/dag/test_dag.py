"""The DAG as users run it: kill and resume, rejudging, refusal."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from safe.gates.schema import Decision, Measurement

from .conftest import BUILT, MECHANICS, OPTIONAL, Dag

pytestmark = pytest.mark.dag


def _jobs(output: str) -> list[str]:
    return re.findall(r"^(?:local)?rule (\w+):", output, flags=re.MULTILINE)


def test_smoke_run_finishes_every_experiment_after_a_kill(finished: Dag) -> None:
    assert len(BUILT) == 12
    required = {name for name in BUILT if name != OPTIONAL}
    for name in BUILT:
        decision = Decision.model_validate(finished.json(name, "decision.json"))
        failed = {
            c.id: c.reason
            for c in decision.criteria
            if c.severity == "required" and c.verdict != "pass"
        }
        assert not failed
        assert {c.id for c in decision.criteria if c.severity == "required"} <= MECHANICS
        measurement = Measurement.model_validate(finished.json(name, "measurement.json"))
        measured = {m.name for m in measurement.metrics} | set(decision.selections)
        assert {c.metric for c in decision.criteria} <= measured
    assert {n for n, status in finished.statuses().items() if status == "go"} >= required
    assert finished.json("LAUNCH")["verdict"] == "GO"


def test_optional_experiment_that_is_no_go_is_shown_and_does_not_block_launch(
    finished: Dag, tmp_path: Path
) -> None:
    dag = finished.clone(tmp_path / "optional")
    criteria = dag.folder / "config" / "hearing" / "criteria" / f"{OPTIONAL}.yaml"
    values = yaml.safe_load(criteria.read_text())
    skips = next(c for c in values["criteria"] if c["id"] == "12.skips")
    skips |= {"severity": "required", "threshold": 1.0}  # no lower bound of an interval is 1
    criteria.write_text(yaml.safe_dump(values))
    done = dag.run()
    assert done.returncode == 0, done.stdout[-3000:]
    assert set(_jobs(done.stdout)) == {"judge", "launch", "all"}
    assert dag.statuses()[OPTIONAL] == "no-go"
    assert dag.json("LAUNCH") != finished.json("LAUNCH")  # it records its decisions


def test_edited_decision_blocks_launch(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "edited")
    path = dag.path("11_seeds", "decision.json")
    decision = json.loads(path.read_text())
    decision["criteria"][0]["value"] /= 2
    time.sleep(1.1)
    path.write_text(json.dumps(decision))
    refused = dag.run()
    assert refused.returncode != 0
    assert "edited" in refused.stdout, refused.stdout[-3000:]
    assert not dag.path("LAUNCH").exists()
    assert dag.json("launch.json")["items"]["reproducible"]["verdict"] == "NO-GO"


def test_page_is_one_file_that_shows_every_experiment(finished: Dag) -> None:
    page = finished.path("launch_checklist.html").read_text()
    for name in finished.statuses():
        assert name[:2] in page
    for name in BUILT:
        for criterion in finished.json(name, "decision.json")["criteria"]:
            assert criterion["id"] in page
    assert not re.search(r"(src|href)=[\"']https?://", page)


def test_second_run_has_nothing_to_do(finished: Dag) -> None:
    again = finished.run()
    assert again.returncode == 0
    assert _jobs(again.stdout) == []


def test_edited_threshold_rejudges_and_can_be_reverted(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "edited")
    measured = {name: dag.path(name, "measurement.json").stat().st_mtime_ns for name in BUILT}
    before = dag.path("03_tiny_overfit", "decision.json").read_bytes()
    criteria = dag.folder / "config" / "hearing" / "criteria" / "03_tiny_overfit.yaml"
    original = criteria.read_text()
    value = next(
        c["value"]
        for c in dag.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.loss"
    )
    values = yaml.safe_load(original)
    loss = next(c for c in values["criteria"] if c["id"] == "03.loss")
    loss |= {"severity": "required", "threshold": value / 2}
    time.sleep(1.1)  # file systems and Snakemake compare whole seconds
    criteria.write_text(yaml.safe_dump(values))

    refused = dag.run()
    assert refused.returncode != 0
    assert set(_jobs(refused.stdout)) == {"judge", "gate"}
    assert re.search(r"NO-GO 03_tiny_overfit: 03\.loss = ", refused.stdout)
    assert dag.json("03_tiny_overfit", "decision.json")["criteria_changed_after_measuring"]
    assert dag.statuses()["03_tiny_overfit"] == "no-go"
    assert not dag.path("03_tiny_overfit", "GO").exists()
    assert not dag.path("LAUNCH").exists()

    time.sleep(1.1)
    criteria.write_text(original)
    assert dag.run().returncode == 0
    assert dag.path("03_tiny_overfit", "decision.json").read_bytes() == before
    after = {name: dag.path(name, "measurement.json").stat().st_mtime_ns for name in BUILT}
    assert after == measured
    assert dag.json("LAUNCH")["verdict"] == finished.json("LAUNCH")["verdict"]
    # The page to sign is another one: it lists the NO-GO with the edited threshold.
    assert dag.json("LAUNCH")["evidence"] != finished.json("LAUNCH")["evidence"]
    earlier = dag.json("launch.json")["earlier"]
    assert [line for line in earlier if "03_tiny_overfit" in line and "NO-GO" in line], earlier


def test_run_killed_in_03_finishes_on_restart(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "killed")
    dag.forget("03_tiny_overfit")
    target = dag.target("03_tiny_overfit", "GO")  # a full run would retrain its dependents
    dag.run_until_killed("rule measure_03:", target)
    assert not dag.path("03_tiny_overfit", "measurement.json").exists()
    done = dag.run(target)
    assert done.returncode == 0, done.stdout[-3000:]
    assert dag.statuses()["03_tiny_overfit"] == "go"


def test_killed_cell_does_not_retrain_finished_cells(finished: Dag, tmp_path: Path) -> None:
    """A miniature's job trains several cells; finished cells are not trained again."""
    dag = finished.clone(tmp_path / "cell")
    jobs = dag.path("10_sweep", "jobs")
    rule = next(
        path for path in sorted(dag.path("logs").glob("job_10_*.log")) if len(cells_of(path)) > 2
    )
    first, second, *others = cells_of(rule)
    for cell in (first, second, *others):
        shutil.rmtree(jobs / cell)
    kept = {p: p.stat().st_mtime_ns for p in jobs.glob("*/result.json")}
    target = dag.target("10_sweep", "jobs", second, "result.json")
    dag.run_until_killed(f"10 {second}:", target)
    assert (jobs / first / "result.json").exists()
    assert not (jobs / second / "result.json").exists()
    done = dag.run(target)
    assert done.returncode == 0, done.stdout[-3000:]
    assert _jobs(done.stdout) == [rule.stem]
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def cells_of(log: Path) -> list[str]:
    """The cells that a job of the sweep trained, in order."""
    return list(dict.fromkeys(re.findall(r"10 (p\S+?):", log.read_text(errors="replace"))))


def test_measurements_record_their_provenance(finished: Dag) -> None:
    for name in BUILT:
        measurement = json.loads(finished.path(name, "measurement.json").read_text())
        assert {"code", "config", "criteria"} <= set(measurement["digests"])
        assert measurement["environment"]["packages"]["torch"]
        assert measurement["peak_memory_bytes"] > 0
        for plot in measurement["plots"]:
            assert finished.path(name, plot).is_file()
