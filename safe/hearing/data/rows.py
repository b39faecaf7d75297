"""The manifest's columns, and conversion of a `Sample` to and from a row."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from safe.hearing.data.sample import Event, MediaRef, Sample

_MEDIA = pa.struct(
    [
        ("path", pa.string()),
        ("start", pa.float64()),
        ("duration", pa.float64()),
        ("frame", pa.float64()),
    ]
)
_EVENT = pa.struct(
    [
        ("label", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("modality", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("question", pa.string()),
        ("question_type", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("source", pa.string()),
        ("image_source", pa.string()),
        ("difficulty", pa.string()),
        ("image", _MEDIA),
        ("audio", _MEDIA),
        ("events", pa.list_(_EVENT)),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("image_key", pa.string()),  # key of media.parquet, or empty
        ("audio_key", pa.string()),
    ]
)


def media_key(ref: MediaRef | None, kind: str) -> str:
    """Return the key of media.parquet: kind, file, and the part of the file, if not all of it."""
    if ref is None:
        return ""
    part = f"@{ref.frame}" if ref.frame is not None else f"@{ref.start}+{ref.duration}"
    whole = ref.frame is None and ref.start == 0 and ref.duration is None
    return f"{kind}:{ref.path}" + ("" if whole else part)


def image_key(sample: Sample) -> str:
    """Return the key of the sample's picture or video frame."""
    framed = sample.image is not None and sample.image.frame is not None
    return media_key(sample.image, "frame" if framed else "image")


def _media_row(ref: MediaRef | None) -> dict[str, Any] | None:
    if ref is None:
        return None
    return {
        "path": str(ref.path),
        "start": ref.start,
        "duration": ref.duration,
        "frame": ref.frame,
    }


# Questions share media, and creating a Path takes longer than the rest of a sample.
@lru_cache(maxsize=100_000)
def _shared_ref(path: str, *part: float | None) -> MediaRef:
    start, duration, frame = part
    return MediaRef(Path(path), start or 0.0, duration, frame)


def _media_ref(row: dict[str, Any] | None) -> MediaRef | None:
    if row is None:
        return None
    return _shared_ref(row["path"], row["start"], row["duration"], row["frame"])


def to_row(sample: Sample) -> dict[str, Any]:
    """Convert a sample to a row of `SCHEMA`."""
    return {
        "id": sample.id,
        "dataset": sample.dataset,
        "split": sample.split,
        "task": sample.task,
        "question": sample.question,
        "question_type": sample.question_type,
        "answers": list(sample.answers),
        "answer": sample.answer,
        "source": sample.source,
        "image_source": sample.image_source,
        "difficulty": sample.difficulty,
        "image": _media_row(sample.image),
        "audio": _media_row(sample.audio),
        "events": [
            {"label": e.label, "start": e.start, "end": e.end, "modality": e.modality}
            for e in sample.events
        ],
        "labels": list(sample.labels.items()),
        "image_key": image_key(sample),
        "audio_key": media_key(sample.audio, "audio"),
    }


def from_row(row: dict[str, Any]) -> Sample:
    """Convert a row of `SCHEMA` to a sample."""
    return Sample(
        id=row["id"],
        dataset=row["dataset"],
        split=row["split"],
        task=row["task"],
        question=row["question"],
        question_type=row["question_type"],
        answers=tuple(row["answers"]),
        answer=row["answer"],
        source=row["source"],
        image=_media_ref(row["image"]),
        audio=_media_ref(row["audio"]),
        difficulty=row["difficulty"],
        events=tuple(Event(**event) for event in row["events"]),
        labels=dict(row["labels"]),
        image_source=row["image_source"],
    )
