"""Atomic file writes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safe.errors import SafeError

HINTS = {
    errno.ENOSPC: "the disk is full: free some space and start again; finished steps are kept",
    errno.EDQUOT: "the quota is exceeded: free some space and start again",
    errno.EACCES: "no permission to write there: change the owner, or `results`/`cache`",
    errno.EPERM: "no permission to write there: change the owner, or `results`/`cache`",
    errno.EROFS: "the file system is read-only: choose other `results`/`cache` folders",
}
FULL = 64 * 1024  # a disk with fewer free bytes counts as full


@contextmanager
def translate_os_error(path: Path) -> Iterator[None]:
    """Convert a full or read-only disk and missing permission to a SafeError with a hint.

    Raises:
        SafeError: the disk is full or the folder may not be written to.
    """
    try:
        yield
    except SafeError:
        raise
    except Exception as error:
        # libsndfile and Arrow raise their own exceptions when the disk is full.
        number = error.errno if isinstance(error, OSError) else None
        if number not in HINTS and _is_full(path):
            number = errno.ENOSPC
        if number in HINTS:
            raise SafeError(
                f"cannot be written: {os.strerror(number)}", where=path, hint=HINTS[number]
            ) from error
        raise


def _is_full(path: Path) -> bool:
    folder = next((p for p in path.absolute().parents if p.exists()), None)
    return folder is not None and shutil.disk_usage(folder).free < FULL


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it is renamed to `path` when the block succeeds.

    Raises:
        SafeError: the disk is full or the folder may not be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with translate_os_error(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with translate_os_error(path):  # checks the disk before the partial file is deleted
                yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def resolve_below(root: Path, relative: str) -> Path:
    """Return `root/relative`, which must lie within `root`.

    Raises:
        SafeError: the path is absolute or outside `root`.
    """
    base = root.resolve()
    path = (base / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(base):
        raise SafeError(
            f"the path {relative!r} is outside its folder",
            where=root,
            hint="names and ids in a dataset may not point outside this folder",
        )
    return path
