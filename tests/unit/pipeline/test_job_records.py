"""Results of jobs are used only as they were written, in the run that they belong to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from safe.errors import EvidenceError
from safe.pipeline.job_records import RECORD, JobRecord, check_records, write_record
from tests.faults import fault

EXPERIMENT = "11_seeds"
JOBS = ["seed_0", "seed_1"]


def expected(**changes: Any) -> JobRecord:
    values: dict[str, Any] = {
        "run": "trial",
        "experiment": EXPERIMENT,
        "job": "",
        "seed": 3,
        "code": "c" * 64,
        "config": "d" * 64,
        "inputs": {"data/manifest.parquet": "e" * 64},
        "environment": {"git_commit": "f" * 40, "git_dirty": False},
    }
    return JobRecord.model_validate(values | changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for job in JOBS:
        folder = tmp_path / EXPERIMENT / "jobs" / job
        folder.mkdir(parents=True)
        (folder / "items.parquet").write_text(f"rows of {job}")
        (folder / "result.json").write_text("{}")
        write_record(tmp_path, expected(job=job))
    return tmp_path


def test_records_of_finished_jobs_are_returned(run: Path) -> None:
    found = check_records(run, expected(), [*JOBS, "seed_2"])
    assert [record.job for record in found] == JOBS
    names = [f"{EXPERIMENT}/jobs/seed_0/{n}" for n in ("items.parquet", "result.json")]
    assert sorted(found[0].files) == names
    write_record(run, expected(job="seed_0"))  # run again; the former record is no result
    assert sorted(check_records(run, expected(), JOBS)[0].files) == names


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"run": "other"}, "run"),
        ({"seed": 4}, "seed"),
        ({"code": "0" * 64}, "code"),
        ({"config": "0" * 64}, "settings"),
        ({"inputs": {"data/manifest.parquet": "0" * 64}}, "manifest"),
        ({"inputs": {"base.json": "0" * 64}}, "base.json"),
    ],
)
@fault("records", "jobs run on changed code, the code restored, then measured")
def test_job_that_ran_otherwise_is_refused(run: Path, changes: Any, named: str) -> None:
    """Other code that was restored, another run, or data replaced in between."""
    with pytest.raises(EvidenceError, match=named) as found:
        check_records(run, expected(**changes), JOBS)
    assert found.value.where == run / EXPERIMENT / "jobs" / "seed_0"
    assert "run-job 11_seeds seed_0" in str(found.value.hint)


@fault("records", "the job of one seed copied to another")
def test_copied_tables_and_jobs_are_refused(run: Path) -> None:
    first, second = (run / EXPERIMENT / "jobs" / job for job in JOBS)
    shutil.copy(first / "items.parquet", second)
    with pytest.raises(EvidenceError, match=r"items\.parquet has changed"):
        check_records(run, expected(), JOBS)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    with pytest.raises(EvidenceError, match="job"):
        check_records(run, expected(), JOBS)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"run": "trial"}'])
def test_missing_or_broken_record_is_named(run: Path, content: str | None) -> None:
    path = run / EXPERIMENT / "jobs" / "seed_1" / RECORD
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(EvidenceError) as found:
        check_records(run, expected(), JOBS)
    assert found.value.where == path


@fault("records", "an edited result of a training")
def test_edited_result_is_refused(run: Path) -> None:
    path = run / EXPERIMENT / "jobs" / "seed_1" / "result.json"
    path.write_text(json.dumps({"accuracy": 1}))
    with pytest.raises(EvidenceError, match=r"result\.json has changed"):
        check_records(run, expected(), JOBS)
