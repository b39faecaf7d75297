"""Shared code of the audits: the database over the manifest, and `Finding`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safe.hearing.config import DatasetConfig

if TYPE_CHECKING:
    import duckdb

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault, with count and examples.

    Attributes:
        kind: short name, e.g. `shared source media`.
        count: number of occurrences, at least 1.
        where: dataset or datasets, and splits.
        examples: the first few, as text.
        declared: reason for accepting the fault, usually from the dataset's config; such a finding
            is shown but does not count.
    """

    kind: str
    count: int
    where: str
    examples: tuple[str, ...]
    declared: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def undeclared(findings: Sequence[Finding]) -> int:
    """Return the total count of findings without `declared`."""
    return sum(f.count for f in findings if f.declared is None)


def _quoted(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def connect(
    manifest: Path,
    datasets: Sequence[DatasetConfig],
    media: Path | None = None,
    *,
    memory: str = "1GB",
    threads: int = 2,
) -> duckdb.DuckDBPyConnection:
    """Create an in-memory database with views over the Parquet files.

    Tables: `samples` (the manifest's columns and `native`, the id within its split), `uses` (one
    row per sample and medium: id, dataset, split, task, source, kind, key), `keys` (distinct source
    keys by dataset and split), `media` (media.parquet; absent if not given) and `declared`
    (datasets that are split by question).
    """
    import duckdb

    base = duckdb.connect(config={"memory_limit": memory, "threads": threads})
    base.execute(
        f"""
        CREATE VIEW samples AS SELECT *,
            substr(id, length(dataset) + length(split) + 3) AS native
        FROM read_parquet({_quoted(manifest)})
        """  # noqa: S608 - SAFE's own path, quoted
    )
    base.execute(
        """
        CREATE VIEW uses AS
            SELECT id, dataset, split, task, 'audio' AS kind, audio_key AS key, source
            FROM samples WHERE audio_key <> ''
            UNION ALL
            SELECT id, dataset, split, task, 'image', image_key,
                   CASE WHEN image_source <> '' THEN image_source ELSE source END
            FROM samples WHERE image_key <> ''
        """
    )
    base.execute(
        """
        CREATE VIEW keys AS
            SELECT DISTINCT dataset, split, split_part(source, '@', 1) AS key FROM samples
            UNION
            SELECT DISTINCT dataset, split, split_part(image_source, '@', 1) FROM samples
            WHERE image_source <> ''
        """
    )
    base.execute("CREATE TABLE declared (dataset VARCHAR, reason VARCHAR)")
    for config in datasets:
        if config.split_unit == "question":
            base.execute("INSERT INTO declared VALUES (?, ?)", [config.name, _reason(config)])
    if media is not None:
        base.execute(
            f"CREATE VIEW media AS SELECT * FROM read_parquet({_quoted(media)})"  # noqa: S608
        )
    return base


def _reason(config: DatasetConfig) -> str:
    return f"split by question: {config.split_unit_reason}"
