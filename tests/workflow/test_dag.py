"""The DAG as people run it: killed and resumed, judged again, refused, and never bypassed."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from safe.gates.schema import Decision
from safe.training.base.evaluate import MIN_VL_ACCURACY, MIN_ZERO_SHOT

from .conftest import ROOT, Dag

pytestmark = pytest.mark.dag

BUILT = sorted(p.stem for p in (ROOT / "workflow" / "rules").glob("[0-9][0-9]_*.smk"))


def _jobs(output: str) -> list[str]:
    return re.findall(r"^(?:local)?rule (\w+):", output, flags=re.MULTILINE)


def test_the_default_run_is_go_after_a_kill(finished: Dag) -> None:
    for name in BUILT:
        decision = Decision.model_validate(finished.json(name, "decision.json"))
        assert decision.verdict == "GO", [c.reason for c in decision.criteria]
        assert finished.path(name, "GO").is_file()
    statuses = finished.statuses()
    assert {statuses[name] for name in BUILT} == {"go"}
    assert len(statuses) == 12
    assert {s for name, s in statuses.items() if name not in BUILT} == {"not-run"}


def test_the_page_is_one_file_that_shows_every_experiment(finished: Dag) -> None:
    page = finished.path("launch_checklist.html").read_text()
    for name in finished.statuses():
        assert name[:2] in page
    for name in BUILT:
        for criterion in finished.json(name, "decision.json")["criteria"]:
            assert criterion["id"] in page
    assert not re.search(r"(src|href)=[\"']https?://", page)


def test_a_second_run_has_nothing_to_do(finished: Dag) -> None:
    again = finished.run()
    assert again.returncode == 0
    assert _jobs(again.stdout) == []


def test_a_threshold_edited_and_edited_back(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "edited")
    measured = {name: dag.path(name, "measurement.json").stat().st_mtime_ns for name in BUILT}
    before = dag.path("03_tiny_overfit", "decision.json").read_bytes()
    criteria = dag.folder / "config" / "criteria" / "03_tiny_overfit.yaml"
    original = criteria.read_text()
    value = next(
        c["value"]
        for c in dag.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.loss"
    )
    time.sleep(1.1)  # file systems and Snakemake compare whole seconds
    criteria.write_text(re.sub(r"threshold: 0\.05\b", f"threshold: {value / 2:.8f}", original))
    assert criteria.read_text() != original

    refused = dag.run()
    assert refused.returncode != 0
    assert set(_jobs(refused.stdout)) == {"judge", "gate"}
    assert re.search(r"NO-GO 03_tiny_overfit: 03\.loss = ", refused.stdout)
    assert dag.json("03_tiny_overfit", "decision.json")["criteria_changed_after_measuring"]
    assert dag.statuses()["03_tiny_overfit"] == "no-go"
    assert not dag.path("03_tiny_overfit", "GO").exists()

    time.sleep(1.1)
    criteria.write_text(original)
    assert dag.run().returncode == 0
    assert dag.path("03_tiny_overfit", "decision.json").read_bytes() == before
    after = {name: dag.path(name, "measurement.json").stat().st_mtime_ns for name in BUILT}
    assert after == measured


def test_a_run_killed_in_03_finishes_without_help(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "killed")
    dag.forget("03_tiny_overfit")
    target = dag.target("03_tiny_overfit", "GO")  # what stands on it would be trained anew
    dag.run_until_killed("rule measure_03:", target)
    assert not dag.path("03_tiny_overfit", "measurement.json").exists()
    done = dag.run(target)
    assert done.returncode == 0, done.stdout[-3000:]
    assert dag.statuses()["03_tiny_overfit"] == "go"


def test_a_cell_that_is_killed_costs_one_cell(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "cell")
    parts = dag.path("04_stage_a_pilot", "parts")
    cell = parts / "k4_r4"
    shutil.rmtree(cell)
    dag.forget("04_stage_a_pilot")
    kept = {p: p.stat().st_mtime_ns for p in parts.glob("*/result.json")}
    assert len(kept) == 10
    target = dag.target("04_stage_a_pilot", "GO")
    dag.run_until_killed("rule part_04:", target)
    assert not (cell / "result.json").exists()
    done = dag.run(target)
    assert done.returncode == 0, done.stdout[-3000:]
    assert sorted(_jobs(done.stdout)) == ["gate", "judge", "measure_04", "part_04"]
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


@pytest.mark.parametrize(
    ("fault", "criterion"),
    [
        ("leak", "01.no_leakage"),
        ("answer_in_filename", "01.no_leakage"),
        ("duplicate_exact", "01.no_cross_split_duplicates"),
        ("duplicate_reencoded", "01.no_cross_split_duplicates"),
        ("undecodable", "01.files_load"),
        ("skew", "01.class_balance"),
        ("shifted", "01.alignment"),
        ("swapped", "01.mismatch"),
    ],
)
def test_a_faulty_world_stops_at_01(tmp_path: Path, fault: str, criterion: str) -> None:
    # `swapped` needs enough sounds of one kind to know what each kind sounds like.
    sizes = "root: data/world, clips: 600, images: 300, videos: 300"
    world = f"{{{sizes}, faults: [{fault}]}}"
    dag = Dag.create(
        tmp_path / "faulty", run_name="faulty", overrides=["run=faulty", f"world={world}"]
    )
    refused = dag.run(dag.target("03_tiny_overfit", "GO"))
    assert refused.returncode != 0
    assert dag.verdicts("01_data_preflight")[criterion] == "fail", refused.stdout[-3000:]
    assert re.search(rf"NO-GO 01_data_preflight: .*{re.escape(criterion)} = ", refused.stdout)
    assert not dag.path("base.json").exists()
    assert not dag.path("03_tiny_overfit").exists()
    assert dag.statuses()["01_data_preflight"] == "no-go"
    assert dag.statuses()["02_base_parity"] == "blocked"
    assert dag.path("launch_checklist.html").is_file()


def test_measurements_say_where_they_come_from(finished: Dag) -> None:
    for name in BUILT:
        measurement = json.loads(finished.path(name, "measurement.json").read_text())
        assert {"code", "config", "criteria"} <= set(measurement["digests"])
        assert measurement["environment"]["packages"]["torch"]
        assert measurement["peak_memory_bytes"] > 0
        for plot in measurement["plots"]:
            assert finished.path(name, plot).is_file()


def _is_a_base(dag: Dag) -> None:
    held_out = dag.json("base.json")["held_out"]
    assert held_out["vl"]
    assert held_out["audio"]
    for kind, row in held_out["vl"].items():
        assert row["accuracy"] >= MIN_VL_ACCURACY, kind
    for kind, row in held_out["audio"].items():
        assert row["ci"][0] <= row["prior"] + 0.05, kind
    assert held_out["clap_zero_shot"]["accuracy"] >= MIN_ZERO_SHOT


def test_the_worlds_base_sees_and_has_not_heard(finished: Dag) -> None:
    _is_a_base(finished)


def test_a_model_that_reads_learns_to_hear_real_recordings(finished_digits: Dag) -> None:
    _is_a_base(finished_digits)
    for name in BUILT:
        decision = Decision.model_validate(finished_digits.json(name, "decision.json"))
        assert decision.verdict == "GO", [c.reason for c in decision.criteria]
    heard = next(
        c
        for c in finished_digits.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert heard["ci"]["low"] > 0.9
