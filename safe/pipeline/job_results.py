"""Read the results of an experiment's jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from safe.digest import digest_file
from safe.errors import EvidenceError
from safe.files import atomic
from safe.pipeline.context import Context

RESULT = "result.json"


def read_result(folder: Path) -> dict[str, Any]:
    """Read result.json of the job in `folder` (NN_name/jobs/JOB).

    Raises:
        EvidenceError: the job has not run, or its result cannot be read.
    """
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"{RESULT} is not a JSON object")
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from None
    return found


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read the rows of a table that the job wrote.

    Raises:
        EvidenceError: the table is missing or cannot be read.
    """
    try:
        found: list[dict[str, Any]] = pq.read_table(folder / name).to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise _unreadable(folder, error) from None
    return found


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a Parquet table; the file is complete or absent."""
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary)


def read_job(context: Context, job: str) -> tuple[Path, dict[str, Any]]:
    """Return (folder, content of result.json) of a job; records its digest in `context`.

    Raises:
        EvidenceError: the job has not run, or its result cannot be read.
    """
    folder = context.folder / "jobs" / job
    result = read_result(folder)
    context.digests[f"job {job}"] = digest_file(folder / RESULT)
    return folder, result


def _unreadable(folder: Path, error: Exception) -> EvidenceError:
    return EvidenceError(
        f"the job {folder.name!r} was not run or did not finish: {error}",
        where=folder,
        hint=f"run `safe run-job {folder.parents[1].name} {folder.name} --config ...` first",
    )
