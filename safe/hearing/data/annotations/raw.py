"""Read ids and media names of annotation files with parsers that the readers do not use."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple


class Row(NamedTuple):
    """One item of an annotation file: the id within its split, and the media that it names."""

    native: str
    media: Sequence[str]


def json_items(path: Path, prefix: str) -> Iterator[Any]:
    """Yield the items of the array at `prefix`; see `ijson.items`.

    Raises:
        ValueError: the file is not JSON.
    """
    yield from _parsed(path, lambda ijson, file: ijson.items(file, prefix, use_float=True))


def json_pairs(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of the outermost object.

    Raises:
        ValueError: the file is not JSON.
    """
    yield from _parsed(path, lambda ijson, file: ijson.kvitems(file, "", use_float=True))


def _parsed(path: Path, parse: Callable[[Any, BinaryIO], Iterator[Any]]) -> Iterator[Any]:
    import ijson

    with path.open("rb") as file:
        try:
            yield from parse(ijson, file)
        except ijson.JSONError as error:
            raise ValueError(f"{path.name}: {error}") from None


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file that names its columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, skipinitialspace=True)
