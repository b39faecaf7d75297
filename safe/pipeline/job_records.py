"""Records of jobs: what ran, with which code and settings, and the files that it left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from safe.errors import EvidenceError
from safe.files import write_json
from safe.gates.documents import read_json
from safe.gates.records import changed_file, digest_files
from safe.gates.schema import Document
from safe.pipeline.job_results import RESULT

RECORD = "record.json"


class JobRecord(Document):
    """Written beside the result of a job."""

    run: str
    experiment: str
    job: str
    seed: int  # of the run
    code: str  # digest of the code of the experiment's jobs
    config: str  # digest of the sections that the jobs read
    inputs: dict[str, str]  # artifacts, relative to results/RUN -> digest
    files: dict[str, str] = Field(default_factory=dict)  # written by the job
    environment: dict[str, Any]  # git commit and dirty flag


def write_record(run_folder: Path, record: JobRecord) -> None:
    """Write the record of a job that has finished, with the digests of its files."""
    folder = run_folder / record.experiment / "jobs" / record.job
    (folder / RECORD).unlink(missing_ok=True)
    files = digest_files(run_folder, [folder])
    record = record.model_copy(update={"files": files})
    write_json(folder / RECORD, record.model_dump(mode="json"))


def check_records(run_folder: Path, expected: JobRecord, jobs: Sequence[str]) -> list[JobRecord]:
    """Check that jobs belong to the run as it is now, and that their files are unchanged.

    Args:
        expected: what the record of every job must contain, apart from its own files.
        jobs: jobs without a result are left out; reading their result names them.

    Raises:
        EvidenceError: a job ran in another run, with other code, settings, seed or inputs, or one
            of its files has changed; names the command that runs it again.
    """
    found = []
    for job in jobs:
        folder = run_folder / expected.experiment / "jobs" / job
        if not (folder / RESULT).is_file():
            continue
        again = f"safe run-job {expected.experiment} {job} --config {run_folder / 'config.json'}"
        try:
            record = JobRecord.model_validate(read_json(folder / RECORD, hint=f"run `{again}`"))
        except ValidationError:
            raise EvidenceError(
                "not a record of a job", where=folder / RECORD, hint=f"run `{again}`"
            ) from None
        fault = _fault(record, expected.model_copy(update={"job": job}))
        fault = fault or changed_file(run_folder, record.files)
        if fault is not None:
            raise EvidenceError(
                f"the result of job {job} cannot be used: {fault}",
                where=folder,
                hint=f"run it again: `{again}`",
            )
        found.append(record)
    return found


def _fault(record: JobRecord, expected: JobRecord) -> str | None:
    for name in ("run", "experiment", "job", "seed"):
        was, now = getattr(record, name), getattr(expected, name)
        if was != now:
            return f"it was made by {name} {was!r}, not {now!r}"
    if record.code != expected.code:
        return "the code of the jobs has changed since it ran"
    if record.config != expected.config:
        return "the settings of the jobs have changed since it ran"
    for name, digest in expected.inputs.items():
        if record.inputs.get(name) != digest:
            return f"{name} has changed since it ran"
    return None
