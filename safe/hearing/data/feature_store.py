"""The store of frozen features: content-addressed, memory-mapped Arrow, checked when read.

An entry's key is a digest over everything that decides its value: model, preprocessing and media.
Shards are written whole or not at all and never changed, so that several jobs may add to one store
at the same time; a killed one loses at most the shard it was writing. Knows nothing of models.
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
DAMAGE = (LookupError, TypeError, ValueError, AttributeError)  # what a broken header leads to
Loader = Callable[[Sequence[str]], Iterator[tuple[str, Array]]]


class FeatureWarning(UserWarning):
    """A stored feature was damaged and is computed again."""


@lru_cache(maxsize=1_000_000)
def _file_digest(path: Path, size: int, modified: int) -> str:
    return digest_file(path)


def media_digest(ref: MediaRef) -> str:
    """SHA-256 over a file's content and the part of it that `ref` means; its path is no matter.

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
        folder: of this store alone; made when first written to.
        shape: of every entry.
        shard_entries: entries written at once; what a killed job can lose.
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
        """See shards that others have written; one that cannot be opened is put aside."""
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
            shard.data.table.validate(full=True)  # offsets that point outside would crash Arrow
            keys = shard.data.column("key").to_pylist()
        except (pa.ArrowException, OSError, *DAMAGE) as error:
            warnings.warn(
                f"{path}: not a readable shard ({str(error)[:100]}); its features are computed "
                "again",
                FeatureWarning,
                stacklevel=3,
            )
            path.replace(path.with_suffix(".damaged"))
            return
        table = shard.data.table  # memory-mapped, as long as its columns are held
        self._shards[path.name] = table.column("data"), table.column("digest")
        for row, key in enumerate(keys):
            self._index.setdefault(key, []).append((path.name, row))

    def read(self, key: str) -> Array | None:
        """The entry, checked; None where there is none, or none that is whole. Read-only."""
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
                f"{self.folder / name}: entry {row} is damaged; it is computed again",
                FeatureWarning,
                stacklevel=2,
            )
        return None

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Keys that have no whole entry, each once, in order. Reads and checks every entry."""
        return [k for k in dict.fromkeys(keys) if self.read(k) is None]

    def add(self, entries: Iterable[tuple[str, Array]]) -> int:
        """Write entries as they come, a shard at a time.

        Returns:
            How many were written.

        Raises:
            ValueError: an entry of another shape, or with values that are not finite.
        """
        written, waiting = 0, []
        for key, value in entries:
            array = np.ascontiguousarray(value, dtype=np.float32)
            if array.shape != self.shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{key}: an entry of shape {array.shape} with "
                    f"{int((~np.isfinite(array)).sum())} values that are not finite; "
                    f"{self.shape} finite ones are needed"
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
        """Compute and add what is missing.

        Args:
            keys: wanted entries.
            compute: given the missing keys, yields (key, array) as they are ready; a key that
                cannot be computed is left out.

        Returns:
            How many were computed.
        """
        missing = self.missing(keys)
        return self.add(compute(missing)) if missing else 0
