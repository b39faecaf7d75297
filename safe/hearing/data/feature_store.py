"""Store of frozen features: content-addressed, memory-mapped Arrow, verified when read.

An entry's key is a digest over everything that determines its value: model, preprocessing and
media. Shards are written atomically and never changed, so several jobs can add to one store at the
same time. A killed job loses at most the shard it was writing. Independent of models.
"""

from __future__ import annotations

import hashlib
import math
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safe.digest import digest_file, digest_json
from safe.errors import MediaError
from safe.files import atomic
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

Array = NDArray[np.float32]
COLUMNS = {"key": "string", "digest": "string", "data": "large_binary"}
DAMAGE = (LookupError, TypeError, ValueError, AttributeError)  # raised for a corrupt header
Loader = Callable[[Sequence[str]], Iterator[tuple[str, Array]]]


class FeatureWarning(UserWarning):
    """A stored feature was damaged and is recomputed."""


@lru_cache(maxsize=1_000_000)
def _file_digest(path: Path, size: int, modified: int) -> str:
    return digest_file(path)


def media_digest(ref: MediaRef) -> str:
    """Return the SHA-256 over a file's content and the part that `ref` selects, not its path.

    Raises:
        MediaError: the file cannot be read.
    """
    try:
        status = ref.path.stat()
        content = _file_digest(ref.path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise MediaError(
            f"cannot be read: {error.strerror}", where=ref.path, hint="fetch it again"
        ) from None
    return digest_json([content, ref.start, ref.duration, ref.frame])


def _entry_digest(key: str, data: bytes | memoryview) -> str:
    digest = hashlib.sha256(key.encode())
    digest.update(data)
    return digest.hexdigest()


class FeatureStore:
    """Float32 arrays of one shape under string keys.

    Args:
        folder: folder of this store only; created on the first write.
        shape: shape of every entry.
        shard_entries: number of entries per shard; a killed job loses at most this many.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], *, shard_entries: int = 2048) -> None:
        self.folder, self.shape, self.shard_entries = folder, shape, shard_entries
        self._bytes = 4 * math.prod(shape)
        self._shards: dict[str, tuple[ChunkedArray, ChunkedArray]] = {}  # data, digests
        self._index: dict[str, list[tuple[str, int]]] = {}
        self._bad: set[tuple[str, int]] = set()
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return any(at not in self._bad for at in self._index.get(key, ()))

    def __len__(self) -> int:
        return sum(key in self for key in self._index)

    def refresh(self) -> None:
        """Open shards that other processes have written; rename unreadable ones to `.damaged`."""
        for path in sorted(self.folder.glob("*.arrow")):
            if path.name not in self._shards:
                self._open(path)

    def _open(self, path: Path) -> None:
        import pyarrow as pa
        from datasets import Dataset

        try:
            shard = Dataset.from_file(str(path))
            found = {f.name: str(f.type) for f in shard.data.table.schema}
            if found != COLUMNS:
                raise ValueError(f"columns {found}")
            shard.data.table.validate(full=True)  # invalid offsets would crash Arrow
            keys = shard.data.column("key").to_pylist()
        except (pa.ArrowException, OSError, *DAMAGE) as error:
            warnings.warn(
                f"{path}: not a readable shard ({str(error)[:100]}); its features are recomputed",
                FeatureWarning,
                stacklevel=3,
            )
            path.replace(path.with_suffix(".damaged"))
            return
        table = shard.data.table  # memory-mapped while its columns are referenced
        self._shards[path.name] = table.column("data"), table.column("digest")
        for row, key in enumerate(keys):
            self._index.setdefault(key, []).append((path.name, row))

    def read(self, key: str) -> Array | None:
        """Return the entry as a read-only array, or None if it is missing or damaged."""
        for at in self._index.get(key, ()):
            if at in self._bad:
                continue
            name, row = at
            entries, digests = self._shards[name]
            data, digest = entries[row].as_buffer(), digests[row].as_py()
            if data.size == self._bytes and _entry_digest(key, memoryview(data)) == digest:
                return np.frombuffer(data, dtype=np.float32).reshape(self.shape)
            self._bad.add(at)
            warnings.warn(
                f"{self.folder / name}: entry {row} is damaged; it is recomputed",
                FeatureWarning,
                stacklevel=2,
            )
        return None

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return unique keys without an intact entry, in order. Reads and checks every entry."""
        return [k for k in dict.fromkeys(keys) if self.read(k) is None]

    def add(self, entries: Iterable[tuple[str, Array]]) -> int:
        """Write entries as they arrive, one shard at a time.

        Returns:
            The number of entries written.

        Raises:
            ValueError: an entry has another shape, or values that are not finite.
        """
        written, waiting = 0, []
        for key, value in entries:
            array = np.ascontiguousarray(value, dtype=np.float32)
            if array.shape != self.shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{key}: the entry has shape {array.shape} and "
                    f"{int((~np.isfinite(array)).sum())} values that are not finite; "
                    f"expected shape {self.shape} and finite values"
                )
            waiting.append((key, array.tobytes()))
            if len(waiting) == self.shard_entries:
                written += self._write(waiting)
                waiting = []
        return written + (self._write(waiting) if waiting else 0)

    def _write(self, entries: list[tuple[str, bytes]]) -> int:
        from datasets import Features, Value
        from datasets.arrow_writer import ArrowWriter

        path = self.folder / f"{os.getpid()}-{uuid.uuid4().hex}.arrow"
        features = Features({name: Value(kind) for name, kind in COLUMNS.items()})
        with atomic(path) as temporary:
            with ArrowWriter(features=features, path=str(temporary)) as writer:
                for key, data in entries:
                    writer.write({"key": key, "digest": _entry_digest(key, data), "data": data})
                writer.finalize()
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        self._open(path)
        return len(entries)

    def ensure(self, keys: Sequence[str], compute: Loader) -> int:
        """Compute and add missing entries.

        Args:
            keys: keys of the entries.
            compute: called with the missing keys; yields (key, array) pairs, and omits keys that
                cannot be computed.

        Returns:
            The number of entries computed.
        """
        missing = self.missing(keys)
        return self.add(compute(missing)) if missing else 0
