"""Rows of the annotation files, and media that they name, that did not reach the manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from safe.hearing.config import DatasetConfig
from safe.hearing.data.audit.base import EXAMPLES, Finding
from safe.hearing.data.census import Census, take_census

if TYPE_CHECKING:
    import duckdb


def find_unread(
    base: duckdb.DuckDBPyConnection, datasets: Sequence[DatasetConfig], *, with_media: bool
) -> tuple[list[Finding], int]:
    """Compare manifest and media.parquet with the census of the annotation files.

    Args:
        with_media: the media were scanned.

    Returns:
        Findings, and the number of annotated rows.

    Raises:
        DataError: an annotation file is missing or cannot be read.
    """
    findings, rows = [], 0
    for dataset in datasets:
        for census in take_census(dataset):
            findings += list(_compare(base, census))
            rows += len(census.rows)
    if with_media:
        findings += _unscanned(base, [dataset.name for dataset in datasets if dataset.media])
    return findings, rows


def _compare(base: duckdb.DuckDBPyConnection, census: Census) -> Iterator[Finding]:
    of = [census.dataset, census.split]
    query = "SELECT native FROM samples WHERE dataset = ? AND split = ?"
    found = {row[0] for row in base.execute(query, of).fetchall()}
    where = f"{census.dataset}: {census.split}"
    for kind, ids in (
        ("annotated rows that were not read", census.rows - found),
        ("items without an annotated row", found - census.rows),
    ):
        if ids:
            yield Finding(kind, len(ids), where, _first(ids))
    media = base.execute(
        """
        SELECT count(DISTINCT file.path) FROM (
            SELECT unnest([image, audio]) AS file FROM samples WHERE dataset = ? AND split = ?
        ) WHERE file IS NOT NULL
        """,
        of,
    ).fetchall()[0][0]
    if media != len(census.media):
        yield Finding(
            "media named by the annotations that no item uses, or the reverse",
            abs(len(census.media) - media),
            where,
            (f"{len(census.media):,} are named, {media:,} are used",),
        )


def _unscanned(base: duckdb.DuckDBPyConnection, datasets: list[str]) -> Iterator[Finding]:
    rows = base.execute(
        """
        SELECT dataset, count(DISTINCT key), list(DISTINCT key) FROM uses
        WHERE dataset IN (SELECT unnest(?)) AND key NOT IN (SELECT key FROM media)
        GROUP BY dataset ORDER BY dataset
        """,
        [datasets],
    ).fetchall()
    for dataset, count, keys in rows:
        yield Finding("media that were not decoded for the audit", count, dataset, _first(keys))


def _first(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:EXAMPLES])
