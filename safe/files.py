"""Writing files whole or not at all."""

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

MENDS = {
    errno.ENOSPC: "the disk is full: free some space and start again; finished steps stay",
    errno.EDQUOT: "the quota is used up: free some space and start again",
    errno.EACCES: "no permission to write there: change the owner, or `results`/`cache`",
    errno.EPERM: "no permission to write there: change the owner, or `results`/`cache`",
    errno.EROFS: "the file system is read-only: choose other `results`/`cache` folders",
}
FULL = 64 * 1024  # bytes left on a disk that cannot take another file


@contextmanager
def translate_os_error(path: Path) -> Iterator[None]:
    """Say what to do when `path` cannot be written.

    Raises:
        SafeError: the disk is full or the folder may not be written to.
    """
    try:
        yield
    except SafeError:
        raise
    except Exception as error:
        # Libraries that write files (libsndfile, Arrow) tell of a full disk in words of their own.
        number = error.errno if isinstance(error, OSError) else None
        if number not in MENDS and _is_full(path):
            number = errno.ENOSPC
        if number in MENDS:
            raise SafeError(
                f"cannot be written: {os.strerror(number)}", where=path, hint=MENDS[number]
            ) from error
        raise


def _is_full(path: Path) -> bool:
    folder = next((p for p in path.absolute().parents if p.exists()), None)
    return folder is not None and shutil.disk_usage(folder).free < FULL


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes `path`'s name when the block succeeds.

    Raises:
        SafeError: the disk is full or the folder may not be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with translate_os_error(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with translate_os_error(path):  # before the space of what was cut off is given back
                yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def resolve_below(root: Path, relative: str) -> Path:
    """`root/relative`, refused when it leaves `root`.

    Raises:
        SafeError: the path is absolute or climbs out of `root`.
    """
    base = root.resolve()
    path = (base / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(base):
        raise SafeError(
            f"the path {relative!r} leaves its folder",
            where=root,
            hint="names and ids in a dataset may not point outside it",
        )
    return path
