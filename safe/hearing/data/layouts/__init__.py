"""Readers of public dataset layouts. To add a layout, add a module to this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from itertools import islice
from typing import cast

from safe.errors import ConfigError, DataError
from safe.hearing.config import DatasetConfig
from safe.hearing.data.annotations.base import Problem, Reader, ReadJob, nearest
from safe.hearing.data.sample import Sample

__all__ = [
    "Problem",
    "annotation_files",
    "check_layout",
    "metric_of",
    "public_layouts",
    "read_dataset",
    "reader_of",
    "register_layout",
]

_EXTERNAL: dict[str, str] = {}  # layout -> module, for layouts outside this folder


def register_layout(name: str, module: str) -> None:
    """Register a layout whose reader is outside this folder; its module is imported on use."""
    _EXTERNAL[name] = module


def public_layouts() -> list[str]:
    """Return the layouts in this folder: those that dataset authors publish."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check_layout(dataset: DatasetConfig) -> None:
    """Check that the dataset's layout has a reader.

    Raises:
        ConfigError: the layout is unknown; names the most similar one.
    """
    known = [*public_layouts(), *sorted(_EXTERNAL)]
    if dataset.layout not in known:
        raise ConfigError(
            f"unknown layout {dataset.layout!r}; {nearest(dataset.layout, known)}",
            where=f"dataset {dataset.name}",
            key="layout",
            hint=f"use one of {', '.join(known)}",
        )


def reader_of(dataset: DatasetConfig) -> Reader:
    """Return the module of the dataset's layout.

    Raises:
        ConfigError: the layout is unknown.
    """
    check_layout(dataset)
    name = _EXTERNAL.get(dataset.layout, f"{__name__}.{dataset.layout}")
    return cast(Reader, importlib.import_module(name))


def metric_of(dataset: DatasetConfig) -> str:
    """Name of the module of `safe.hearing.evaluation` that scores answers of this layout."""
    return str(getattr(reader_of(dataset), "METRIC", "exact_match"))


def annotation_files(layout: str) -> dict[str, tuple[str, ...]]:
    """Return the patterns of a public layout's annotation files; see `Reader.FILES`."""
    reader = cast(Reader, importlib.import_module(f"{__name__}.{layout}"))
    return reader.FILES


def read_dataset(config: DatasetConfig, problems: list[Problem] | None = None) -> Iterator[Sample]:
    """Yield every sample of every split in `config.splits`, in file order.

    Args:
        config: the dataset's settings.
        problems: list to which the irregularities found by the reader are appended.

    Raises:
        DataError: a folder or file is missing, damaged, or not in the layout; names the file,
            the line or key, and the fix.
    """
    reader = reader_of(config)
    for name in config.options:
        if name not in reader.OPTIONS:
            raise DataError(
                f"unknown option {name!r}; {nearest(name, reader.OPTIONS)}",
                where=f"dataset {config.name}",
                key=f"options.{name}",
                hint=f"see the options of layout {config.layout} in docs/data.md",
            )
    if not config.root.is_dir():
        raise DataError(
            "the dataset folder is missing",
            where=config.root,
            key=f"datasets.{config.name}.root",
            hint="download the dataset there, or correct `root` in the run config",
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
                hint="check the annotation file, or remove the split from the config",
            )
