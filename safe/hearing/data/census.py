"""Count what the annotation files contain, independently of the readers.

A reader that drops rows, or the media that it cannot decode, makes broken data look complete. Each
layout's `census` reads only ids and media names, and shares no parser with its reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safe.errors import DataError
from safe.hearing.config import DatasetConfig
from safe.hearing.data.annotations.base import ReadJob
from safe.hearing.data.layouts import reader_of


@dataclass(frozen=True, slots=True)
class Census:
    """Items of one split of a dataset.

    Attributes:
        rows: ids within the split.
        media: names of media, as the annotations give them.
    """

    dataset: str
    split: str
    rows: frozenset[str]
    media: frozenset[str]


def take_census(config: DatasetConfig) -> list[Census]:
    """Return the census of each split in `config.splits`, up to `config.limit` items each.

    Raises:
        DataError: an annotation file is missing or cannot be read.
    """
    return [_census(config, split, native) for split, native in config.splits.items()]


def _census(config: DatasetConfig, split: str, native: str) -> Census:
    job = ReadJob(config=config, split=split, native=native, problems=[])  # type: ignore[arg-type]
    rows: dict[str, Sequence[str]] = {}
    try:
        for row in reader_of(config).census(job):
            if row.native not in rows and len(rows) == config.limit:
                break
            rows[row.native] = row.media
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"the items of split {split!r} cannot be counted: {error!r}",
            where=config.root,
            key=f"datasets.{config.name}.splits.{split}",
            hint="the annotation file is damaged, or not in the layout of its authors",
        ) from None
    media = frozenset(name for names in rows.values() for name in names)
    return Census(config.name, split, frozenset(rows), media)
