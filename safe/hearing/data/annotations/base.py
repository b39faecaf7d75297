"""Input of the layout readers (`ReadJob`) and their shared checks."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Protocol, cast

from safe.errors import DataError
from safe.hearing.config import DatasetConfig
from safe.hearing.data.annotations.raw import Row
from safe.hearing.data.sample import Difficulty, Event, Sample

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".oga", ".aac", ".aiff", ".aif", ".webm",
    ".mp4", ".mkv", ".mka", ".mov",
)  # fmt: skip
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
MEDIA_SUFFIXES = frozenset(AUDIO_SUFFIXES + IMAGE_SUFFIXES + VIDEO_SUFFIXES)
DIFFICULTIES = ("easy", "medium", "hard")

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}\Z")  # at the end of a pattern
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.+-]*\Z")
_PART = re.compile(r"(?!\.\.?(?:/|\Z))[^/\x00]+(?:/(?!\.\.?(?:/|\Z))[^/\x00]+)*\Z")


@dataclass(frozen=True, slots=True)
class Problem:
    """An irregularity in the published data that does not stop reading; it is reported."""

    dataset: str
    split: str
    what: str
    where: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class ReadJob:
    """The reading of one split of one dataset.

    Attributes:
        config: the dataset's settings.
        split, native: SAFE's name of the split, and the dataset's own name.
        problems: irregularities that the reader found.
    """

    config: DatasetConfig
    split: Literal["train", "val", "test"]
    native: str
    problems: list[Problem]
    _listed: dict[str, dict[str, str]] = field(default_factory=dict)
    _events: dict[str, list[Event]] | None = None
    _root: str = ""

    def __post_init__(self) -> None:
        self._root = str(self.config.root.absolute())

    def annotation(self, default: str, key: str | None = None) -> Path:
        """Return the split's annotation file: `annotations[key]` of the config, else `default`.

        Raises:
            DataError: the file does not exist.
        """
        key = key or self.split
        path = self.config.annotations.get(key)
        path = self.config.root / (default if path is None else path)
        if not path.is_file():
            raise DataError(
                f"the annotation file of split {self.split!r} is missing",
                where=path,
                key=f"datasets.{self.config.name}.annotations.{key}",
                hint="check `root` and `splits`, or name the file in `annotations`",
            )
        return path

    def option(self, name: str, default: Any) -> Any:
        """Return `options[name]`, which must have the type of `default`."""
        value = self.config.options.get(name, default)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise DataError(
                f"expected {type(default).__name__}, found {value!r}",
                where=f"dataset {self.config.name}",
                key=f"options.{name}",
                hint="correct the value in the run config",
            )
        return value

    def sample_id(self, native: str | int) -> str:
        return f"{self.config.name}/{self.split}/{native}"

    def note(self, what: str, where: Path, items: Iterable[str]) -> None:
        """Record a problem with its count and first examples, if there are any items."""
        items = list(items)
        if items:
            self.problems.append(
                Problem(
                    self.config.name, self.split, what, str(where), len(items), tuple(items[:5])
                )
            )

    def media(self, pattern: str, suffixes: tuple[str, ...], **fields: object) -> Path:
        """Return the path of the media file that `pattern` names below the root.

        If neither the pattern nor the name has a suffix, the first of `suffixes` for which a file
        exists is used. Suffixes may be in capitals on disk. If no file exists, the first suffix is
        used, and the file is later counted as missing.
        """
        relative = fill_pattern(pattern, self.config.name, fields)
        folder, _, name = os.path.join(self._root, relative).rpartition("/")
        is_media = os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES
        wanted = [name] if is_media or _SUFFIX.search(pattern) else []
        wanted += [] if is_media else [name + suffix for suffix in suffixes]
        names = self._files_in(folder)
        keys = (key for file in wanted for key in (file, _key(file)))
        found = next((names[key] for key in keys if key in names), wanted[0])
        return Path(f"{folder}/{found}")

    def _files_in(self, folder: str) -> dict[str, str]:
        """Return the files of a folder by name, and by name with the suffix in small letters."""
        if folder not in self._listed:
            try:
                listed = sorted(os.listdir(folder))
            except OSError:
                listed = []
            exact = {name: name for name in listed}
            self._listed[folder] = {_key(name): name for name in listed} | exact
        return self._listed[folder]

    def events_of(self, key: str) -> tuple[Event, ...]:
        """Return the events of the media `key` from the file named in `options.events`."""
        if self._events is None:
            from safe.hearing.data.annotations.ave import read_events

            name = self.option("events", "")
            inside = self.config.root / name
            self._events = read_events(inside if inside.is_file() else Path(name)) if name else {}
        return tuple(self._events.get(key, ()))


class Reader(Protocol):
    """A layout: its `OPTIONS`, its annotation `FILES` in a folder, `read`, and `census`.

    `FILES` maps the end of a key of `annotations` (such as `_questions`; mostly empty) to patterns
    of file names. The first pattern that a split has a file for is used. `census` checks `read`.
    """

    OPTIONS: dict[str, str]
    FILES: dict[str, tuple[str, ...]]

    def read(self, job: ReadJob) -> Iterator[Sample]: ...

    def census(self, job: ReadJob) -> Iterator[Row]: ...


def _key(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem + suffix.lower()


@cache
def _fields_of(pattern: str) -> tuple[str, ...] | None:
    """Return the replacement fields of a pattern, or None if it is not a format string."""
    try:
        return tuple(n for _, n, _, _ in Formatter().parse(pattern) if n is not None)
    except ValueError:
        return None


def fill_pattern(pattern: str, dataset: str, fields: dict[str, object]) -> str:
    """Return `pattern.format(**fields)`; raise DataError for unknown fields and unsafe paths."""
    names = _fields_of(pattern)
    unknown = [pattern] if names is None else [name for name in names if name not in fields]
    try:
        text = "" if unknown else pattern.format(**fields)
    except (ValueError, IndexError, KeyError):
        text = ""
    if unknown or not _PART.match(text):
        raise DataError(
            f"the media pattern {pattern!r} cannot be used"
            + (f": unknown field {unknown[0]!r}" if unknown else f": it gives {text!r}"),
            where=f"dataset {dataset}",
            key="options",
            hint=f"use only {{{'}, {'.join(fields)}}} and a path below the dataset's root",
        )
    return text


def check_name(value: object, *, where: Path, key: str, line: int | None = None) -> str:
    """Return `value` as text that is safe as part of a file name.

    Raises:
        DataError: the value is empty, a path, or could leave the dataset's folder.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not _NAME.match(text) or ".." in text:
        raise DataError(
            f"the id {value!r} is not a plain name",
            where=where,
            line=line,
            key=key,
            hint="ids may contain letters, digits, `_`, `-`, `.` and `+`, and must not be a path",
        )
    return text


def check_difficulty(value: object, *, where: Path, line: int | None = None) -> Difficulty:
    """Return `value` if it is a known difficulty; raise DataError otherwise."""
    if value not in DIFFICULTIES:
        raise DataError(
            f"unknown difficulty {value!r}",
            where=where,
            line=line,
            key="difficulty",
            hint=f"use one of {', '.join(DIFFICULTIES)}",
        )
    return cast(Difficulty, value)


def need(row: Any, key: str, kind: type | tuple[type, ...], where: Path, line: int) -> Any:
    """Return `row[key]`; raise a DataError with file, line and key unless it has type `kind`."""
    if not isinstance(row, dict) or key not in row:
        raise DataError(
            f"the key {key!r} is missing",
            where=where,
            line=line,
            key=key,
            hint="the file is damaged, or not in the layout that the dataset's authors publish",
        )
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)
        raise DataError(
            f"expected {names}, found {json.dumps(value)[:60]}",
            where=where,
            line=line,
            key=key,
            hint="correct the value at that line",
        )
    if isinstance(value, str) and "\0" in value:
        raise DataError(
            "contains a NUL character",
            where=where,
            line=line,
            key=key,
            hint="correct the value at that line (a damaged download?)",
        )
    return value


def repeated_id(native: object, where: Path, line: int, key: str) -> DataError:
    return DataError(
        f"the id {native} is used by two rows",
        where=where,
        line=line,
        key=key,
        hint="remove or renumber one of them; ids must be unique",
    )


def majority(answers: Sequence[str]) -> str:
    """Return the most common answer; on a tie, the one given first."""
    if len(answers) == 1:
        return answers[0]
    counts = Counter(answers)
    return max(counts, key=counts.__getitem__)  # max returns the first on a tie


def nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
