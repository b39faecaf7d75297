"""JSON files from elsewhere, read one item at a time, with one clear error for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from safe.errors import DataError
from safe.hearing.data.annotations.json_stream import stream_array, stream_object

T = TypeVar("T")
_BEGINS = {"[": "a list", "{": "an object"}
_BOM = b"\xef\xbb\xbf"


def elements(path: Path, key: str | None = None) -> Iterator[tuple[int, Any]]:
    """(line, element) of a file that is a list, or of the list under `key`.

    Raises:
        DataError: no such file, not UTF-8, not JSON, cut off, or something else at its top level.
    """
    _check_top_level(path, "[" if key is None else "{")
    return _guarded(stream_array(path, key), path)


def members(path: Path) -> Iterator[tuple[int, str, Any]]:
    """(line, key, value) of a file that is an object. Raises as `elements`."""
    _check_top_level(path, "{")
    return _guarded(stream_object(path), path)


def _check_top_level(path: Path, wanted: str) -> None:
    try:
        with path.open("rb") as file:
            first = file.read(64).removeprefix(_BOM).lstrip()[:1].decode("latin-1")
    except OSError:
        return  # reading it says why
    if first in _BEGINS and first != wanted:
        raise DataError(
            f"{_BEGINS[first]} where the format has {_BEGINS[wanted]}",
            where=path,
            hint="give the file as its authors publish it; `safe score --help` names the formats",
        )


def _guarded(items: Iterator[T], path: Path) -> Iterator[T]:
    """JSON that nests too deep, or a number of thousands of digits, becomes a DataError."""
    try:
        yield from items
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"JSON that cannot be held: {error}", where=path, hint="correct or remove that value"
        ) from None
