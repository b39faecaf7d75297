"""What a part of an experiment left, read back. A part is a job of its own: `safe part`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from safe.digest import digest_file
from safe.errors import EvidenceError
from safe.pipeline.context import Context

RESULT = "result.json"


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of the part whose folder is NN_name/parts/PART.

    Raises:
        EvidenceError: the part was not run, or what it wrote cannot be read.
    """
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"{RESULT} is no JSON object")
    except (OSError, ValueError) as error:
        raise _not_there(folder, error) from None
    return found


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a table that the part wrote.

    Raises:
        EvidenceError: the table is not there or cannot be read.
    """
    try:
        found: list[dict[str, Any]] = pq.read_table(folder / name).to_pylist()
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise _not_there(folder, error) from None
    return found


def read_part(context: Context, part: str) -> tuple[Path, dict[str, Any]]:
    """(folder, result.json) of a part of the experiment that is measured; its digest is noted.

    Raises:
        EvidenceError: the part was not run, or what it wrote cannot be read.
    """
    folder = context.folder / "parts" / part
    result = read_result(folder)
    context.digests[f"part {part}"] = digest_file(folder / RESULT)
    return folder, result


def _not_there(folder: Path, error: Exception) -> EvidenceError:
    return EvidenceError(
        f"the part {folder.name!r} was not run to its end: {error}",
        where=folder,
        hint=f"run `safe part {folder.parents[1].name} {folder.name} --config ...` first",
    )
