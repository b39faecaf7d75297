"""Public dataset layouts, each read into `Sample`. A new layout is a module and one line here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

from safe.errors import DataError
from safe.hearing.config import DatasetConfig
from safe.hearing.data.layouts import audiocaps, gqa, music_avqa, vqav2
from safe.hearing.data.layouts.base import Problem, Reader, ReadJob, nearest
from safe.hearing.data.sample import Sample
from safe.hearing.miniature import digits_layout

READERS: dict[str, Reader] = {
    "audiocaps": cast(Reader, audiocaps),
    "vqav2": cast(Reader, vqav2),
    "gqa": cast(Reader, gqa),
    "music_avqa": cast(Reader, music_avqa),
    "digits": cast(Reader, digits_layout),
}

__all__ = ["READERS", "Problem", "read_dataset"]


def read_dataset(config: DatasetConfig, problems: list[Problem] | None = None) -> Iterator[Sample]:
    """Every sample of every split named in `config.splits`, in file order.

    Args:
        config: the dataset's settings.
        problems: a list that receives what the reader noticed and survived.

    Raises:
        DataError: a folder or file is missing, damaged, or not in the layout; names the file,
            the line or key, and the mend.
    """
    reader = READERS[config.layout]
    for name in config.options:
        if name not in reader.OPTIONS:
            raise DataError(
                f"unknown option {name!r}; {nearest(name, reader.OPTIONS)}",
                where=f"dataset {config.name}",
                key=f"options.{name}",
                mend=f"see the options of layout {config.layout} in config/README.md",
            )
    if not config.root.is_dir():
        raise DataError(
            "the dataset folder is missing",
            where=config.root,
            key=f"datasets.{config.name}.root",
            mend="download the dataset there, or correct `root` in the run config",
        )
    noted = [] if problems is None else problems
    for split, native in config.splits.items():
        job = ReadJob(config=config, split=split, native=native, problems=noted)
        count = 0
        for sample in islice(reader.read(job), config.limit):
            count += 1
            yield sample
        if count == 0:
            raise DataError(
                f"split {split!r} ({native}) has no samples",
                where=config.root,
                key=f"datasets.{config.name}.splits.{split}",
                mend="check the annotation file, or remove the split from the config",
            )
