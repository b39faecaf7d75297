"""Exact and near copies of a sound or picture in two splits, or of another one in a held-out split.

Exact copies have equal decoded content. Near copies are found in two steps: descriptors that
survive the usual changes give candidates, and a direct comparison removes false positives
(pictures.py, sounds.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from safe.hearing.config import PreflightConfig
from safe.hearing.data.audio_features import CUTS
from safe.hearing.data.audit import pictures, sounds
from safe.hearing.data.audit.base import EXAMPLES, Finding
from safe.hearing.data.decode import Waveform, load_audio
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    import duckdb

HELD_OUT = ("val", "test")  # copies within them make intervals too narrow


@dataclass(frozen=True, slots=True)
class Pair:
    """Two media that are copies, with the splits that use them."""

    kind: str
    first: str
    second: str
    where: str
    score: float
    declared: str | None


# One row per medium and place; a place is a dataset's split.
_PLACES = """
    CREATE OR REPLACE TEMP TABLE places AS
    SELECT DISTINCT u.key, u.kind, u.dataset, u.split, u.source, m.content, m.path,
           m.start, m.clip, m.thumbnail, m.fingerprint, m.cut_fingerprints
    FROM uses u JOIN media m ON u.key = m.key WHERE m.ok
"""
_WHERE = """
    CASE WHEN a.dataset = b.dataset
         THEN a.dataset || ': ' || least(a.split, b.split) || ', ' || greatest(a.split, b.split)
         ELSE a.dataset || ' ' || a.split || ', ' || b.dataset || ' ' || b.split END
"""
# Declared: the dataset is split by question, and both uses have the same source.
_DECLARED = """
    CASE WHEN a.dataset = b.dataset AND a.source = b.source
         THEN (SELECT any_value(reason) FROM declared d WHERE d.dataset = a.dataset) END
"""


def prepare_places(base: duckdb.DuckDBPyConnection) -> None:
    """Create the table that the other functions query."""
    base.execute(_PLACES)


def find_exact(base: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find decoded contents that occur in two splits, grouped by kind and places."""
    rows = base.execute(
        f"""
        SELECT a.kind, {_WHERE} AS w, {_DECLARED} AS d, count(DISTINCT a.content),
               list(DISTINCT parse_filename(a.path) || ' = ' || parse_filename(b.path))[:{EXAMPLES}]
        FROM places a JOIN places b ON a.content = b.content AND a.kind = b.kind
         AND a.split <> b.split AND (a.dataset, a.split, a.key) < (b.dataset, b.split, b.key)
        GROUP BY ALL ORDER BY ALL
        """  # noqa: S608 - constant fragments
    ).fetchall()
    return [
        Finding(f"exact {kind} duplicates", count, where, tuple(sorted(examples)), declared)
        for kind, where, declared, count, examples in rows
    ]


def find_near_images(
    base: duckdb.DuckDBPyConnection, settings: PreflightConfig
) -> tuple[list[Pair], list[Pair]]:
    """Find near copies of pictures: (pairs in two splits, pairs within a held-out split)."""

    def compare(left: list[Place], right: list[Place]) -> Iterator[tuple[int, int, float]]:
        one, two = (pictures.as_pixels([row.feature for row in side]) for side in (left, right))
        for found in pictures.find_candidates(one, two):
            score = pictures.confirm(one, two, found, settings.near_image_similarity)
            if score is not None:
                i, j = found.first, found.second
                yield (j, i, score) if found.swapped else (i, j, score)

    return _compare_splits(base, "image", "thumbnail", compare)


def find_near_audio(
    base: duckdb.DuckDBPyConnection, settings: PreflightConfig
) -> tuple[list[Pair], list[Pair]]:
    """Find near copies of sounds: (pairs in two splits, pairs within a held-out split)."""

    @lru_cache(maxsize=512)
    def decoded(path: str, start: float, clip: float | None) -> Waveform:
        return load_audio(MediaRef(Path(path), start, clip), sounds.COMPARE_RATE)

    def compare(left: list[Place], right: list[Place]) -> Iterator[tuple[int, int, float]]:
        one, two = (
            np.stack([_fingerprints(row.feature) for row in side]) for side in (left, right)
        )
        found = sounds.find_candidates(one, two, settings.near_audio_similarity)
        for (i, j), likeness in found.items():
            first, second = (decoded(row.path, row.start, row.clip) for row in (left[i], right[j]))
            score = sounds.confirm(first, second, likeness, settings.near_audio_correlation)
            if score is not None:
                yield i, j, score

    return _compare_splits(base, "audio", "fingerprint || cut_fingerprints", compare)


class Place(NamedTuple):
    """A medium and a split that uses it."""

    path: str
    start: float
    clip: float | None
    content: str
    dataset: str
    split: str
    source: str
    feature: bytes


Compare = Callable[[list[Place], list[Place]], Iterator[tuple[int, int, float]]]


def _compare_splits(
    base: duckdb.DuckDBPyConnection, kind: str, feature: str, compare: Compare
) -> tuple[list[Pair], list[Pair]]:
    rows = base.execute(
        f"""
        SELECT path, start, clip, content, dataset, split, source, {feature} FROM places
        WHERE kind = ? ORDER BY ALL
        """,  # noqa: S608 - constant fragments
        [kind],
    ).fetchall()
    by_split: dict[str, list[Place]] = {}
    for row in rows:
        by_split.setdefault(row[5], []).append(Place(*row))
    reasons = dict(base.execute("SELECT dataset, reason FROM declared").fetchall())
    across, within = [], []
    for one, two in combinations_with_replacement(sorted(by_split), 2):
        if one == two and one not in HELD_OUT:
            continue
        for i, j, score in compare(by_split[one], by_split[two]):
            first, second = by_split[one][i], by_split[two][j]
            if first.content == second.content:
                continue  # an exact copy
            if one != two:
                across.append(_pair(kind, first, second, score, reasons))
            elif i < j and first.source != second.source:
                within.append(_pair(kind, first, second, score, {}))
    return across, within


def _pair(kind: str, first: Place, second: Place, score: float, reasons: Mapping[str, str]) -> Pair:
    same = first.dataset == second.dataset and first.source == second.source
    if first.dataset == second.dataset:
        where = f"{first.dataset}: {', '.join(sorted({first.split, second.split}))}"
    else:
        where = f"{first.dataset} {first.split}, {second.dataset} {second.split}"
    declared = reasons.get(first.dataset) if same else None
    return Pair(kind, first.path, second.path, where, score, declared)


def _fingerprints(data: bytes) -> NDArray[np.float32]:
    """(1 + len(CUTS), size): of the whole sound and of its parts."""
    return np.frombuffer(data, np.float16).reshape(1 + len(CUTS), -1).astype(np.float32)


def find_exact_within(base: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find decoded contents of several sources in one held-out split."""
    rows = base.execute(
        f"""
        SELECT kind, split, count(*), list(example ORDER BY example)[:{EXAMPLES}] FROM (
            SELECT kind, split, content, min(parse_filename(path)) AS example FROM places
            WHERE split IN {HELD_OUT} GROUP BY kind, split, content
            HAVING count(DISTINCT source) > 1
        ) GROUP BY kind, split ORDER BY ALL
        """  # noqa: S608 - constants
    ).fetchall()
    return [
        Finding(f"exact {kind} copies", count, split, tuple(examples))
        for kind, split, count, examples in rows
    ]


def as_findings(pairs: list[Pair]) -> list[Finding]:
    """Group near copies by kind and places."""
    groups: dict[tuple[str, str, str | None], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.kind, pair.where, pair.declared), []).append(pair)
    return [
        Finding(
            f"near {kind} duplicates",
            len(members),
            where,
            tuple(
                f"{Path(p.first).name} ~ {Path(p.second).name} ({p.score:.3f})"
                for p in members[:EXAMPLES]
            ),
            declared,
        )
        for (kind, where, declared), members in sorted(
            groups.items(), key=lambda item: tuple(str(part) for part in item[0])
        )
    ]
