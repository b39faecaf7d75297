"""A measurement is used only in its run, with the files, settings and code that it had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from safe.digest import digest_json
from safe.gates.documents import read_measurement
from safe.gates.records import changed_file, digest_files
from safe.gates.run import judge_experiment, open_gate_run
from safe.gates.status import statuses
from safe.gates.token import GateClosed, check_gate
from tests.faults import fault
from tests.unit.gates.builders import CRITERIA, NAMES, make_run, measure_again

FIRST, LAST = NAMES[0], NAMES[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "trial")


def remeasure(run: Path, name: str, **changes: Any) -> None:
    measure_again(run, name, **changes)
    judge_experiment(open_gate_run(run), name)


def status_of(run: Path, name: str) -> tuple[str, str]:
    row = statuses(run, CRITERIA)[name]
    return row.status, row.reason


def assert_closed(run: Path, name: str, status: str, named: str) -> None:
    """The experiment has this status, and `safe gate` refuses it for the same reason."""
    found, reason = status_of(run, name)
    assert found == status, reason
    assert named in reason
    with pytest.raises(GateClosed, match=named):
        check_gate(open_gate_run(run), name)


@fault("records", "an edited number in a measurement that was judged again")
def test_edited_measurement_is_no_go_though_judged_again(run: Path) -> None:
    path = run / LAST / "measurement.json"
    document = json.loads(path.read_text())
    document["metrics"][0]["value"] += 0.001
    document["metrics"][0]["ci"] = None
    path.write_text(json.dumps(document))
    judge_experiment(open_gate_run(run), LAST)
    assert_closed(run, LAST, "no-go", "edited")


@fault("records", "results of an older run copied in")
def test_measurement_of_another_run_is_no_go(run: Path, tmp_path: Path) -> None:
    """Old results are copied in, with and without their history."""
    copied = Path(shutil.copytree(run, tmp_path / "copied"))
    (copied / "config.json").write_text(json.dumps(json.loads((run / "config.json").read_text())))
    assert_closed(copied, FIRST, "no-go", "trial")
    other = make_run(tmp_path / "other", names=NAMES[:1])
    shutil.copy(run / FIRST / "measurement.json", other / FIRST)
    assert status_of(other, FIRST)[0] == "no-go"


@pytest.fixture
def with_tables(run: Path) -> Path:
    """A run whose last experiment has tables of two seeds."""
    for seed in (0, 1):
        folder = run / LAST / "jobs" / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "items.parquet").write_bytes(b"rows of seed %d" % seed)
    (run / LAST / "plots").mkdir()
    (run / LAST / "plots" / "curve.png").write_bytes(b"png")
    remeasure(run, LAST, files=digest_files(run, [run / LAST]))
    return run


def test_files_are_recorded_without_plots_and_records(with_tables: Path) -> None:
    files = read_measurement(with_tables / LAST / "measurement.json").files
    assert sorted(files) == [f"{LAST}/jobs/seed_{n}/items.parquet" for n in (0, 1)]
    assert status_of(with_tables, LAST)[0] == "go"


@fault("records", "the items of one seed copied over those of another")
def test_table_of_one_seed_copied_over_another_is_found(with_tables: Path) -> None:
    first, second = (with_tables / LAST / "jobs" / f"seed_{n}" / "items.parquet" for n in (0, 1))
    shutil.copy(first, second)
    assert_closed(with_tables, LAST, "stale", "seed_1/items.parquet has changed")
    second.unlink()
    assert_closed(with_tables, LAST, "stale", "seed_1/items.parquet is missing")


@fault("records", "an adapter or gate replaced after it was evaluated")
def test_changed_artifact_upstream_blocks_what_used_it(run: Path) -> None:
    """The adapter of an experiment is replaced after it was measured."""
    artifact = run / FIRST / "adapter.safetensors"
    artifact.write_bytes(b"weights")
    remeasure(run, FIRST, files=digest_files(run, [artifact]))
    for name in NAMES[1:]:
        document = json.loads((run / name / "measurement.json").read_text())
        for need in document["upstream"]:
            decision = json.loads((run / need / "decision.json").read_text())
            digests = {key: decision["digests"][key] for key in ("decision", "evidence")}
            document["upstream"][need] |= digests
        remeasure(run, name, upstream=document["upstream"])
    assert [status_of(run, name)[0] for name in NAMES] == ["go"] * 3
    artifact.write_bytes(b"others")
    assert [status_of(run, name)[0] for name in NAMES] == ["stale"] * 3


@pytest.mark.parametrize("name", ["../trial/x", "/etc/hostname", "../../x"])
def test_path_outside_the_run_is_refused(run: Path, name: str) -> None:
    assert "outside" in str(changed_file(run, {name: "0" * 64}))


def test_link_that_leaves_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (run / "link").symlink_to(tmp_path / "elsewhere")
    assert "outside" in str(changed_file(run, {"link": "0" * 64}))


@fault("records", "a setting edited after the measurement")
def test_other_settings_make_a_measurement_stale(run: Path) -> None:
    path = run / "config.json"
    values = json.loads(path.read_text())
    digests = json.loads((run / LAST / "measurement.json").read_text())["digests"]
    digests["config"] = digest_json({"world": values["world"]})
    remeasure(run, LAST, digests=digests, sections=["world"])
    assert status_of(run, LAST)[0] == "go"
    path.write_text(json.dumps(values | {"datasets": []}))  # a section that it does not read
    assert status_of(run, LAST)[0] == "go"
    path.write_text(json.dumps(values | {"world": {"seed": 8}}))
    assert_closed(run, LAST, "stale", "settings")


@pytest.mark.parametrize("role", ["code", "code of jobs"])
@fault("records", "code changed after the measurement")
def test_other_code_makes_a_measurement_stale(run: Path, role: str) -> None:
    """It was measured by changed code that was restored afterwards."""
    digests = json.loads((run / LAST / "measurement.json").read_text())["digests"]
    remeasure(run, LAST, digests=digests | {role: "0" * 64})
    assert_closed(run, LAST, "stale", role)
