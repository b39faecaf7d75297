"""`media.parquet`: features of every distinct sound, picture and frame, computed by decoding it.

Several processes decode. Finished parts are kept, so an interrupted scan resumes, and a later scan
decodes only files whose size or modification time has changed.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safe.errors import MediaError
from safe.files import atomic
from safe.hearing.data.audio_features import describe_audio
from safe.hearing.data.decode import load_image, read_audio
from safe.hearing.data.image_features import thumbnail
from safe.hearing.data.image_integrity import check_integrity
from safe.hearing.data.rows import media_key
from safe.hearing.data.sample import MediaRef, Sample
from safe.processes import end_with_parent

PART = 512  # media per saved part
PARALLEL_FROM = 64  # minimum number of media for which processes are started
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("kind", pa.string()),  # audio, image or frame
        ("dataset", pa.string()),  # the first that uses it
        ("path", pa.string()),
        ("start", pa.float64()),
        ("clip", pa.float64()),
        ("frame", pa.float64()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("ok", pa.bool_()),
        ("reason", pa.string()),
        ("duration", pa.float64()),
        ("rate", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("content", pa.string()),  # SHA-256 of the decoded content
        ("thumbnail", pa.binary()),
        ("fingerprint", pa.binary()),  # float16
        ("cut_fingerprints", pa.binary()),  # float16
        ("timbre", pa.binary()),  # float16
        ("rms_db", pa.float32()),
        ("snr_db", pa.float32()),
        ("activity", pa.list_(pa.struct([("start", pa.float64()), ("end", pa.float64())]))),
    ]
)


class Medium(NamedTuple):
    """A sound, picture or frame to decode."""

    key: str
    kind: str
    dataset: str
    ref: MediaRef


def distinct_media(samples: Iterable[Sample]) -> dict[str, Medium]:
    """Return every sound, picture and frame of the samples by key, in order of first use."""
    found: dict[str, Medium] = {}
    for sample in samples:
        for kind, ref in (("image", sample.image), ("audio", sample.audio)):
            if ref is not None:
                kind = "frame" if ref.frame is not None else kind
                key = media_key(ref, kind)
                found.setdefault(key, Medium(key, kind, sample.dataset, ref))
    return found


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def describe(medium: Medium) -> dict[str, Any]:
    """Decode one medium and return a row of `SCHEMA`; on failure, `ok` is False with a reason."""
    ref = medium.ref
    size, mtime = _stamp(ref.path)
    row: dict[str, Any] = {
        "key": medium.key,
        "kind": medium.kind,
        "dataset": medium.dataset,
        "path": str(ref.path),
        "start": ref.start,
        "clip": ref.duration,
        "frame": ref.frame,
        "bytes": size,
        "mtime_ns": mtime,
        "ok": True,
        "reason": "",
    }
    try:
        row |= _audio(ref) if medium.kind == "audio" else _image(ref)
    except MediaError as error:
        row |= {"ok": False, "reason": error.what}
    return row


def _audio(ref: MediaRef) -> dict[str, Any]:
    wave, rate = read_audio(ref)
    features = describe_audio(wave, rate)
    pcm = np.round(np.clip(wave, -1, 1) * 32767).astype("<i2")
    return {
        "duration": len(wave) / rate,
        "rate": rate,
        "content": hashlib.sha256(f"{rate}:".encode() + pcm.tobytes()).hexdigest(),
        "fingerprint": features.fingerprint.astype(np.float16).tobytes(),
        "cut_fingerprints": features.cut_fingerprints.astype(np.float16).tobytes(),
        "timbre": features.timbre.astype(np.float16).tobytes(),
        "rms_db": features.rms_db,
        "snr_db": None if np.isnan(features.snr_db) else features.snr_db,
        "activity": [{"start": s, "end": e} for s, e in features.activity],
    }


def _image(ref: MediaRef) -> dict[str, Any]:
    image = load_image(ref)
    if ref.frame is None:
        check_integrity(ref.path)
    size = f"{image.width}x{image.height}:".encode()
    return {
        "width": image.width,
        "height": image.height,
        "content": hashlib.sha256(size + image.tobytes()).hexdigest(),
        "thumbnail": thumbnail(image),
    }


def _known(files: list[Path], wanted: dict[str, Medium]) -> dict[str, Path]:
    """Return key -> file for media that one of `files` describes and that have not changed."""
    known: dict[str, Path] = {}
    for file in files:
        try:
            if pq.read_schema(file) != SCHEMA:
                continue  # written by an earlier version
            table = pq.read_table(file, columns=["key", "bytes", "mtime_ns"])
        except (OSError, pa.ArrowInvalid):
            continue  # truncated by a crash: its media are decoded again
        for row in table.to_pylist():
            medium = wanted.get(row["key"])
            if medium and (row["bytes"], row["mtime_ns"]) == _stamp(medium.ref.path):
                known[row["key"]] = file
    return known


def _described(todo: list[Medium], processes: int) -> Iterator[dict[str, Any]]:
    if processes <= 1 or len(todo) < PARALLEL_FROM:
        yield from map(describe, todo)
        return
    # Forking this process could copy a lock held by another thread.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["safe.hearing.data.media", "imagehash", "soundfile", "soxr", "av"]
    )
    with ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent) as pool:
        yield from pool.map(describe, todo, chunksize=32)


def scan_media(samples: Iterable[Sample], path: Path, *, processes: int) -> dict[str, Any]:
    """Decode and describe every distinct medium of the samples; write the table to `path`.

    Args:
        samples: iterated once; only the references to their media are kept in memory.
        path: media.parquet; parts are in `<path>.parts` until it is complete.
        processes: number of decoding processes.

    Returns:
        Counts `media`, `ok` and `reused`, and `digest` of the decoded content (not of folders).
    """
    from tqdm import tqdm

    wanted = distinct_media(samples)
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(parents=True, exist_ok=True)
    stored = sorted(parts.glob("*.parquet")) + ([path] if path.exists() else [])
    known = _known(stored, wanted)
    todo = [medium for key, medium in wanted.items() if key not in known]
    number = len(stored)
    fresh: list[dict[str, Any]] = []

    def save() -> None:
        nonlocal number
        while (file := parts / f"{number:06d}.parquet").exists():
            number += 1
        with atomic(file) as temporary:
            pq.write_table(pa.Table.from_pylist(fresh, schema=SCHEMA), temporary)
        known.update((row["key"], file) for row in fresh)
        fresh.clear()

    bar = tqdm(total=len(todo), desc="decoding", unit="file", file=sys.stderr, disable=not todo)
    with bar:
        for row in _described(todo, processes):
            fresh.append(row)
            bar.update()
            if len(fresh) >= PART:
                save()
    if fresh:
        save()
    summary = _merge(sorted(set(known.values())), known, path)
    for file in parts.glob("*.parquet"):
        file.unlink()
    parts.rmdir()
    return summary | {"reused": len(wanted) - len(todo)}


def _merge(files: list[Path], known: dict[str, Path], path: Path) -> dict[str, Any]:
    """Merge all wanted rows into one file, with one part in memory at a time."""
    total = good = 0
    contents: list[str] = []
    with atomic(path) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for file in files:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(PART):
                    keep = [known.get(k) == file for k in batch.column("key").to_pylist()]
                    kept = batch.filter(pa.array(keep))
                    if kept.num_rows:
                        writer.write_batch(kept)
                    total += kept.num_rows
                    good += sum(kept.column("ok").to_pylist())
                    contents += [
                        f"{kind}:{content or reason}"
                        for kind, content, reason in zip(
                            *(kept.column(c).to_pylist() for c in ("kind", "content", "reason")),
                            strict=True,
                        )
                    ]
    digest = hashlib.sha256("\n".join(sorted(contents)).encode()).hexdigest()
    return {"media": total, "ok": good, "digest": digest}
