"""Leakage between splits (ids, source media, rows), and answers contained in ids or file names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safe.hearing.config import DatasetConfig
from safe.hearing.data.audit.base import EXAMPLES, Finding

if TYPE_CHECKING:
    import duckdb

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
ROTATIONS = 8  # rotations of the answers, to estimate how often a name matches by chance


def find_leakage(
    base: duckdb.DuckDBPyConnection, datasets: Sequence[DatasetConfig]
) -> list[Finding]:
    """Return all findings of this module; those without `declared` are leaks."""
    return [
        *shared_ids(base),
        *shared_sources(base),
        *repeated_rows(base),
        *readable_answers(base, datasets),
    ]


def shared_ids(base: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find ids that occur more than once in a dataset, in several splits or in one."""
    rows = base.execute(
        """
        SELECT dataset, native, list_sort(list(DISTINCT split)), count(*) AS n
        FROM samples GROUP BY dataset, native HAVING n > 1 ORDER BY dataset, native
        """
    ).fetchall()
    groups: dict[tuple[str, str], list[str]] = {}
    for dataset, native, splits, _ in rows:
        groups.setdefault((dataset, ", ".join(splits)), []).append(str(native))
    return [
        Finding("shared ids", len(ids), f"{dataset}: {splits}", tuple(ids[:EXAMPLES]))
        for (dataset, splits), ids in sorted(groups.items())
    ]


def shared_sources(base: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find source media that occur in more than one split, within and across datasets."""
    rows = base.execute(
        f"""
        WITH pairs AS (
            SELECT a.dataset AS da, a.split AS sa, b.dataset AS db, b.split AS sb, a.key AS key
            FROM keys a JOIN keys b
              ON a.key = b.key AND (a.dataset, a.split) < (b.dataset, b.split)
             AND a.split <> b.split
        )
        SELECT da, sa, db, sb, count(*), list(key ORDER BY key)[:{EXAMPLES}], any_value(reason)
        FROM pairs LEFT JOIN declared ON da = db AND declared.dataset = da
        GROUP BY da, sa, db, sb ORDER BY da, sa, db, sb
        """  # noqa: S608 - a constant integer
    ).fetchall()
    found = []
    for da, sa, db, sb, count, keys, reason in rows:
        where = f"{da}: {sa}, {sb}" if da == db else f"{da} {sa}, {db} {sb}"
        found.append(Finding("shared source media", count, where, tuple(keys), reason))
    return found


def repeated_rows(base: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find the same question on the same media in two splits; `split_unit` does not excuse it."""
    rows = base.execute(
        """
        WITH texts AS (
            SELECT lower(trim(regexp_replace(question, '\\s+', ' ', 'g'))) AS text, source,
                   image_source, dataset, split
            FROM samples WHERE task <> 'caption'
        )
        SELECT list_sort(list(DISTINCT dataset)) AS ds, list_sort(list(DISTINCT split)) AS ss,
               any_value(text) || ' on ' || source
        FROM texts GROUP BY text, source, image_source HAVING len(ss) > 1 ORDER BY ALL
        """
    ).fetchall()
    groups: dict[tuple[str, str], list[str]] = {}
    for names, splits, example in rows:
        groups.setdefault((", ".join(names), ", ".join(splits)), []).append(example)
    return [
        Finding("repeated rows", len(ids), f"{names}: {splits}", tuple(ids[:EXAMPLES]))
        for (names, splits), ids in sorted(groups.items())
    ]


_MATCHES = """
    WITH numbered AS (
        SELECT row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total, answer,
               {name} AS raw,
               list_transform(
                   string_split(regexp_replace(lower({name}), '[^a-z0-9]+', ' ', 'g'), ' '),
                   lambda t: CASE WHEN t <> '' AND ltrim(t, '0') = '' THEN '0'
                                  ELSE ltrim(t, '0') END) AS parts
        FROM samples WHERE dataset = ? AND task <> 'caption' AND {name} <> ''
    ),
    spoken AS (
        SELECT place, total, raw, ' ' || array_to_string(parts, ' ') || ' ' AS name,
               ' ' || trim(regexp_replace(lower(answer), '[^a-z0-9]+', ' ', 'g')) || ' ' AS words,
               coalesce(' ' || (list_position(string_split(?, ' '),
                   lower(trim(answer))) - 1)::VARCHAR || ' ', '~') AS digits
        FROM numbered
    )
    SELECT count(*), list(a.raw ORDER BY a.place)[:{limit}]
    FROM spoken a JOIN spoken b ON b.place = (a.place + ?) % a.total
    WHERE b.words <> '  ' AND (contains(a.name, b.words) OR contains(a.name, b.digits))
"""


def readable_answers(
    base: duckdb.DuckDBPyConnection, datasets: Sequence[DatasetConfig]
) -> list[Finding]:
    """Find names (id or file name) that contain the answer more often than by chance.

    An answer such as 2 can match `.../2.wav` by chance. The chance level is estimated by rotating
    the answers over the rows. A name leaks if the true answers match it more than five standard
    deviations above the chance level.
    """
    found = []
    names = {
        "id": "native",
        "image file name": "coalesce(parse_filename(image.path, true), '')",
        "audio file name": "coalesce(parse_filename(audio.path, true), '')",
    }
    for config in datasets:
        total = base.execute(
            "SELECT count(*) FROM samples WHERE dataset = ? AND task <> 'caption'", [config.name]
        ).fetchall()[0][0]
        for label, name in names.items():
            query = _MATCHES.format(name=name, limit=EXAMPLES)

            def matches(
                step: int, query: str = query, dataset: str = config.name
            ) -> tuple[int, list[str]]:
                row = base.execute(query, [dataset, NUMBERS, step]).fetchall()[0]
                return row[0], row[1] or []

            count, examples = matches(0)
            if count < 3:
                continue
            steps = [max(1, total * k // (ROTATIONS + 1)) for k in range(1, ROTATIONS + 1)]
            chance = sum(matches(step)[0] for step in steps) / ROTATIONS
            if count > chance + 5 * math.sqrt(chance + 1):
                found.append(
                    Finding(
                        f"answers readable from the {label}",
                        count,
                        config.name,
                        tuple(str(e) for e in examples),
                        config.names_carry_labels if label != "id" else None,
                        {"by_chance": round(chance, 1), "rows": total},
                    )
                )
    return found
