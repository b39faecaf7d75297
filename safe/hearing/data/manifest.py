"""The Parquet manifest of samples, written and read in row groups to bound memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from safe.errors import DataError
from safe.files import atomic
from safe.hearing.data.rows import SCHEMA, from_row, to_row
from safe.hearing.data.sample import Sample

ROWS = 4096  # per row group


def _batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def write_manifest(samples: Iterable[Sample], path: Path) -> dict[str, Any]:
    """Write the samples in order.

    Returns:
        `rows`, `digest` (SHA-256 over all fields except the media's folders, so that moving a
        dataset does not change it) and `counts`, a list of dataset, split, task, difficulty, rows.
    """
    counts: Counter[tuple[str, str, str, str]] = Counter()
    sha = hashlib.sha256()
    with atomic(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for batch in _batches(samples, ROWS):
            rows = [to_row(sample) for sample in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            for row in rows:
                counts[row["dataset"], row["split"], row["task"], row["difficulty"]] += 1
                for kind in ("image", "audio"):
                    del row[f"{kind}_key"]
                    if row[kind] is not None:
                        row[kind]["path"] = os.path.basename(row[kind]["path"])
            sha.update(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())
    return {
        "rows": sum(counts.values()),
        "digest": sha.hexdigest(),
        "counts": [
            {"dataset": d, "split": s, "task": t, "difficulty": h, "rows": n}
            for (d, s, t, h), n in sorted(counts.items())
        ],
    }


def iterate_samples(
    path: Path, *, split: str | None = None, task: str | None = None, dataset: str | None = None
) -> Iterator[Sample]:
    """Yield the samples of a manifest in order, with one row group in memory at a time.

    Raises:
        DataError: the manifest does not exist or cannot be read.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"the manifest cannot be read: {error}",
            where=path,
            hint="run `safe prepare-data` first",
        ) from None
    wanted = {"split": split, "task": task, "dataset": dataset}
    with file:
        for batch in file.iter_batches(ROWS):
            for column, value in wanted.items():
                if value is not None:
                    batch = batch.filter(pc.equal(batch.column(column), value))
            for row in batch.to_pylist():
                yield from_row(row)


def load_samples(
    path: Path,
    *,
    split: str | None = None,
    task: str | None = None,
    dataset: str | None = None,
    limit: int | None = None,
) -> list[Sample]:
    """Load the first `limit` samples of the given split, task and dataset from a manifest."""
    return list(islice(iterate_samples(path, split=split, task=task, dataset=dataset), limit))
