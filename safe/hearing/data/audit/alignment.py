"""Check whether annotated audio events agree with the sound.

Two checks, without a trained model, for every sound that has annotated events:

- Time: at least half of the annotated time is active, and at least the share of the rest of the
  clip that is active. (The rest may be active, because real clips contain other sounds.) If the
  annotation spans the clip, at least a fifth of the clip must be active.
- Label: for sounds with a single label, the most common label of the five nearest sounds of the
  dataset, by timbre and fingerprint, is the same.

A pair is aligned if no check fails; a label that cannot be checked does not count. A pair is
obviously mismatched if none of the annotated time is active, or if at most one of the 9 nearest
sounds has its label while most of them share another.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import duckdb

NEAREST, NEIGHBOURS = 5, 9
LEAST_OF_LABEL = 20  # minimum number of sounds of a label for the label check
LEAST_LABELS = 2
TIMBRE_WEIGHT = 0.3  # of timbre values relative to the unit-length fingerprint
MOST = 4000  # maximum number of sounds of a dataset compared with each other
HEARD_SHARE, HEARD_SHARE_OF_CLIP = 0.5, 0.2


@dataclass(slots=True)
class Pair:
    """One sound and its annotation.

    Attributes:
        inside, outside: active share of the annotated time, and of the rest; `outside` is None if
            the annotation covers the clip.
        time_ok, label_ok: results of the two checks; `label_ok` is None if it cannot be checked.
        obvious: reason why the pair is obviously mismatched, or empty.
        nearest: most common label of the nearest sounds.
    """

    id: str
    dataset: str
    split: str
    labels: tuple[str, ...]
    inside: float
    outside: float | None
    time_ok: bool
    label_ok: bool | None = None
    obvious: str = ""
    nearest: str = ""

    @property
    def aligned(self) -> bool:
        return self.time_ok and self.label_ok is not False

    @property
    def tried(self) -> bool:
        """Whether an obvious mismatch could be found: the label was checked, or one was found."""
        return self.label_ok is not None or bool(self.obvious)


def _covered(intervals: list[tuple[float, float]], grid: NDArray[np.float64]) -> NDArray[np.bool_]:
    covered = np.zeros(len(grid), bool)
    for start, end in intervals:
        covered |= (grid >= start) & (grid < end)
    return covered


def time_overlap(
    events: list[tuple[float, float]], activity: list[tuple[float, float]], duration: float
) -> tuple[float, float | None]:
    """Return the active share of the annotated time and of the rest (None without a rest)."""
    grid = (np.arange(max(1, round(duration * 100))) + 0.5) / 100
    annotated, sounds = _covered(events, grid), _covered(activity, grid)
    inside = float(sounds[annotated].mean()) if annotated.any() else 0.0
    return inside, (float(sounds[~annotated].mean()) if (~annotated).any() else None)


def find_pairs(base: duckdb.DuckDBPyConnection, seed: int) -> list[Pair]:
    """Check every decoded sound with annotated events, at most `MOST` per dataset."""
    rows = base.execute(
        """
        WITH heard AS (
            SELECT audio_key AS key, min(id) AS id, any_value(dataset) AS dataset,
                   any_value(split) AS split, arg_min(to_json(events)::VARCHAR, id) AS events
            FROM samples WHERE audio_key <> '' AND len(events) > 0 GROUP BY audio_key
        )
        SELECT h.id, h.dataset, h.split, h.events, to_json(m.activity)::VARCHAR, m.duration,
               m.fingerprint, m.timbre
        FROM heard h JOIN media m USING (key) WHERE m.ok
        ORDER BY hash(h.id || ?), h.id
        """,
        [str(seed)],
    )
    pairs: list[Pair] = []
    features: list[NDArray[np.float32]] = []
    taken: Counter[str] = Counter()
    while batch := rows.fetchmany(512):
        for row in batch:
            if taken[row[1]] < MOST:
                taken[row[1]] += 1
                pairs.append(_timed(row))
                features.append(_features(row[6], row[7]))
    for dataset in sorted(taken):
        places = [i for i, pair in enumerate(pairs) if pair.dataset == dataset]
        _check_labels([pairs[i] for i in places], [features[i] for i in places])
    return pairs


def _timed(row: tuple[Any, ...]) -> Pair:
    native, dataset, split, events_json, activity_json, duration = row[:6]
    events = [e for e in json.loads(events_json) if e["modality"] != "visual"]
    activity = [(a["start"], a["end"]) for a in json.loads(activity_json)]
    spans = [(e["start"], e["end"]) for e in events]
    inside, outside = time_overlap(spans, activity, duration)
    return Pair(
        id=native,
        dataset=dataset,
        split=split,
        labels=tuple(sorted({e["label"] for e in events})),
        inside=inside,
        outside=outside,
        time_ok=inside >= HEARD_SHARE_OF_CLIP
        if outside is None
        else inside >= max(HEARD_SHARE, outside),
        obvious="no sound during the annotated time" if inside == 0 else "",
    )


def _features(fingerprint: bytes, timbre: bytes) -> NDArray[np.float32]:
    shape = np.frombuffer(fingerprint, np.float16).astype(np.float32)
    colour = np.frombuffer(timbre, np.float16).astype(np.float32)
    return np.concatenate((shape, TIMBRE_WEIGHT * colour))


def _check_labels(pairs: list[Pair], features: list[NDArray[np.float32]]) -> None:
    """Set `label_ok`, `nearest` and `obvious` of one dataset's pairs with a single label."""
    counts = Counter(pair.labels[0] for pair in pairs if len(pair.labels) == 1)
    usable = {label for label, count in counts.items() if count >= LEAST_OF_LABEL}
    if len(usable) < LEAST_LABELS:
        return
    places = [i for i, p in enumerate(pairs) if len(p.labels) == 1 and p.labels[0] in usable]
    values = np.stack([features[i] for i in places])
    labels = np.array([pairs[i].labels[0] for i in places])
    squares = (values**2).sum(axis=1)
    for top in range(0, len(places), 512):
        block = slice(top, top + 512)
        apart = squares[block, None] + squares[None] - 2 * values[block] @ values.T
        apart[np.arange(len(apart)), top + np.arange(len(apart))] = np.inf
        for place, order in zip(places[block], np.argsort(apart, axis=1), strict=True):
            _judge_label(pairs[place], labels[order[:NEIGHBOURS]].tolist())


def _judge_label(pair: Pair, neighbours: list[str]) -> None:
    own = pair.labels[0]
    pair.nearest = Counter(neighbours[:NEAREST]).most_common(1)[0][0]
    pair.label_ok = pair.nearest == own
    other, votes = Counter(neighbours).most_common(1)[0]
    if not pair.obvious and neighbours.count(own) <= 1 and votes > NEIGHBOURS / 2 and other != own:
        pair.obvious = f"sounds like {other}, annotated as {own}"


def read_verdicts(path: Path) -> tuple[str, dict[str, bool]]:
    """Read a manual spot-check: (name of the signer, id -> whether the pair is mismatched).

    The file is JSON: `signed_by`, `date`, and `verdicts`, id -> "matched" or "mismatched".

    Raises:
        DataError: the file is missing, malformed or not signed.
    """
    from safe.errors import DataError

    hint = "save the verdicts from the spot-check sheet, with your name in it"
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=path, hint=hint) from None
    signed = found.get("signed_by") if isinstance(found, dict) else None
    if not isinstance(signed, str) or not signed.strip() or not found.get("date"):
        raise DataError("the file is not signed", where=path, key="signed_by", hint=hint)
    verdicts = found.get("verdicts")
    if not isinstance(verdicts, dict) or not set(verdicts.values()) <= {"matched", "mismatched"}:
        raise DataError(
            "verdicts must be matched or mismatched", where=path, key="verdicts", hint=hint
        )
    return signed.strip(), {key: value == "mismatched" for key, value in verdicts.items()}
