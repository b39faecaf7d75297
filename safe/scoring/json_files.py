"""Read external JSON files item by item, with one error type for invalid files."""

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
    """Yield (line, element) of a file that is a list, or of the list under `key`.

    Raises:
        DataError: no such file, not UTF-8, not JSON, truncated, or another type at top level.
    """
    _check_top_level(path, "[" if key is None else "{")
    return _guarded(stream_array(path, key), path)


def members(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield (line, key, value) of a file that is an object. Raises the errors of `elements`."""
    _check_top_level(path, "{")
    return _guarded(stream_object(path), path)


def _check_top_level(path: Path, wanted: str) -> None:
    try:
        with path.open("rb") as file:
            first = file.read(64).removeprefix(_BOM).lstrip()[:1].decode("latin-1")
    except OSError:
        return  # the reader raises the error
    if first in _BEGINS and first != wanted:
        raise DataError(
            f"the file is {_BEGINS[first]}; the format requires {_BEGINS[wanted]}",
            where=path,
            hint="use the published file; `safe score --help` lists the formats",
        )


def _guarded(items: Iterator[T], path: Path) -> Iterator[T]:
    """Convert errors on too deeply nested JSON and too long numbers to DataError."""
    try:
        yield from items
    except (RecursionError, ValueError) as error:
        raise DataError(
            f"JSON cannot be parsed: {error}", where=path, hint="correct or remove that value"
        ) from None
