"""Exact and near copies of a sound or picture in two splits.

Exact copies have equal decoded content. Near copies are found in two steps: a hash or fingerprint
that is robust to re-encoding gives candidates, and a direct comparison removes false positives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safe.hearing.config import PreflightConfig
from safe.hearing.data.audio_features import BANDS, FINGERPRINT_TIME
from safe.hearing.data.audit.base import EXAMPLES, Finding
from safe.hearing.data.decode import Waveform, load_audio
from safe.hearing.data.image_features import thumbnail_distance
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    import duckdb

THUMBNAIL_DISTANCE = 12.0  # re-encoded copies are below 9, different pictures at least 18
COMPARE_RATE = 8000  # Hz
EMPHASIS = 0.8  # of the first-order high-pass; different voices share their lowest partials
BLOCK = 2048  # fingerprints compared at once


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
           m.start, m.clip, m.phash, m.thumbnail, m.fingerprint
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


def find_near_images(base: duckdb.DuckDBPyConnection, settings: PreflightConfig) -> list[Pair]:
    """Find pictures in two splits within `near_image_distance` bits and with similar thumbnails.

    Two hashes that differ in at most d bits are equal in at least one of d + 1 slices of their
    bits (pigeonhole), so joins on slices give the candidates without comparing all pairs.
    """
    distance = settings.near_image_distance
    edges = [round(64 * i / (distance + 1)) for i in range(distance + 2)]
    slices = " UNION ALL ".join(
        f"SELECT *, {i} AS slice, (phash >> {low}) & {(1 << (high - low)) - 1}::UBIGINT AS bits "  # noqa: S608
        "FROM places WHERE kind = 'image'"
        for i, (low, high) in enumerate(pairwise(edges))
    )
    rows = base.execute(
        f"""
        WITH parts AS ({slices})
        SELECT DISTINCT a.path, b.path, {_WHERE} AS w, {_DECLARED} AS d, a.thumbnail, b.thumbnail
        FROM parts a JOIN parts b ON a.slice = b.slice AND a.bits = b.bits
         AND a.split <> b.split AND (a.dataset, a.split, a.key) < (b.dataset, b.split, b.key)
        WHERE bit_count(xor(a.phash, b.phash)) <= ? AND a.content <> b.content
        """,  # noqa: S608
        [distance],
    )
    pairs = []
    while batch := rows.fetchmany(1024):
        for first, second, where, declared, one, other in batch:
            apart = thumbnail_distance(one, other)
            if apart <= THUMBNAIL_DISTANCE:
                pairs.append(Pair("image", first, second, where, apart, declared))
    return pairs


def waveform_correlation(first: Waveform, second: Waveform) -> float:
    """Return the largest normalised cross-correlation of two sounds at 8 kHz over all shifts."""
    one, two = (wave[1:] - EMPHASIS * wave[:-1] for wave in (first, second))
    norm = float(np.linalg.norm(one) * np.linalg.norm(two))
    if norm < 1e-9:
        return 0.0
    size = 1 << (len(one) + len(two)).bit_length()
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size))
    return float(np.fft.irfft(spectrum, size).max() / norm)


def similar_fingerprints(
    left: NDArray[np.float32], right: NDArray[np.float32], threshold: float
) -> Iterator[tuple[int, int]]:
    """Yield index pairs of unit vectors whose cosine is at least `threshold`, block by block."""
    for top in range(0, len(left), BLOCK):
        for side in range(0, len(right), BLOCK):
            cosine = left[top : top + BLOCK] @ right[side : side + BLOCK].T
            for i, j in np.argwhere(cosine >= threshold):
                yield top + int(i), side + int(j)


def _fingerprints(rows: list[tuple[Any, ...]]) -> NDArray[np.float32]:
    size = FINGERPRINT_TIME * BANDS
    array = np.zeros((len(rows), size), np.float32)
    for i, row in enumerate(rows):
        array[i] = np.frombuffer(row[-1], np.float16)
    return array


def find_near_audio(base: duckdb.DuckDBPyConnection, settings: PreflightConfig) -> list[Pair]:
    """Find sounds in two splits with similar fingerprints and correlated waveforms."""

    @lru_cache(maxsize=512)
    def decoded(path: str, start: float, clip: float | None) -> Waveform:
        return load_audio(MediaRef(Path(path), start, clip), COMPARE_RATE)

    columns = "path, start, clip, content, dataset, split, source, fingerprint"
    splits = [
        row[0]
        for row in base.execute(
            "SELECT DISTINCT split FROM places WHERE kind = 'audio' ORDER BY split"
        ).fetchall()
    ]
    query = f"SELECT {columns} FROM places WHERE kind = 'audio' AND split = ? ORDER BY ALL"  # noqa: S608
    by_split = {split: base.execute(query, [split]).fetchall() for split in splits}
    prints = {split: _fingerprints(rows) for split, rows in by_split.items()}
    reasons = dict(base.execute("SELECT dataset, reason FROM declared").fetchall())
    pairs = []
    for place, one in enumerate(splits):
        for two in splits[place + 1 :]:
            found = similar_fingerprints(prints[one], prints[two], settings.near_audio_similarity)
            for i, j in found:
                a, b = by_split[one][i], by_split[two][j]
                if a[3] == b[3]:
                    continue
                score = waveform_correlation(decoded(*a[:3]), decoded(*b[:3]))
                if score >= settings.near_audio_correlation:
                    same = a[4] == b[4] and a[6] == b[6]
                    where = f"{a[4]} {one}, {b[4]} {two}"
                    declared = reasons.get(a[4]) if same else None
                    pairs.append(Pair("audio", a[0], b[0], where, score, declared))
    return pairs


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
