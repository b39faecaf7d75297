"""Read reference and predicted captions in published formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safe.errors import DataError
from safe.hearing.data.annotations.base import need
from safe.hearing.data.annotations.tables import read_table
from safe.hearing.data.layouts.audiocaps import COLUMNS
from safe.scoring.json_files import elements
from safe.scoring.results import need_of, shown

PREDICTED = "caption_predicted"
_ID_KEYS = ("image_id", "audiocap_id", "youtube_id", "id")
_CAPTION_KEYS = ("caption", PREDICTED)
_REFERENCE = re.compile(r"caption_\d+")
FORMATS = (
    f"a CSV with {PREDICTED},caption_1,...; AudioCaps' CSV with {','.join(COLUMNS)}; or COCO's "
    "JSON with a list `annotations` of image_id and caption"
)


@dataclass
class Captions:
    """Reference captions of one file.

    Attributes:
        path: the file.
        references: item -> captions.
        items: id in a results file -> items; more than one item is ambiguous.
        predictions: predicted captions in the same file, or None.
    """

    path: Path
    references: dict[str, list[str]] = field(default_factory=dict)
    items: dict[str, set[str]] = field(default_factory=dict)
    predictions: dict[str, str] | None = None

    def add(self, item: str, caption: str, *aliases: str, line: int) -> None:
        """Add a non-empty reference caption, and the aliases of its item."""
        if not caption.strip():
            raise DataError(
                f"{shown([item])} has an empty reference caption",
                where=self.path,
                line=line,
                key="caption",
                hint="give the item a caption or remove the row",
            )
        self.references.setdefault(item, []).append(caption)
        for alias in (item, *aliases):
            self.items.setdefault(alias, set()).add(item)


def read_references(path: Path) -> Captions:
    """Read one of the three formats, detected by the suffix and the first line.

    Raises:
        DataError: another format, or an item without a reference; names the line and the fix.
    """
    if path.suffix.lower() == ".json":
        found = _coco(path)
    elif path.suffix.lower() == ".csv":
        found = _with_predictions(path) if PREDICTED in _header(path) else _audiocaps(path)
    else:
        raise DataError(f"unknown suffix {path.suffix!r}", where=path, hint=f"give {FORMATS}")
    if not found.references:
        raise DataError("the file has no captions", where=path, hint=f"give {FORMATS}")
    return found


def _header(path: Path) -> str:
    """Return the start of the first line, or an empty string if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.readline(4096).decode("utf-8", "replace")
    except OSError:
        return ""


def _with_predictions(path: Path) -> Captions:
    """Read rows of one prediction and its references; empty reference fields are ignored."""
    found = Captions(path, predictions={})
    assert found.predictions is not None
    for line, row in read_table(path, (PREDICTED, "caption_1")):
        item = f"row {len(found.predictions) + 1}"
        texts = [text for name, text in row.items() if _REFERENCE.fullmatch(name.strip())]
        for text in [text for text in texts if text.strip()] or [""]:
            found.add(item, text, line=line)
        found.predictions[item] = row[PREDICTED]
    return found


def _audiocaps(path: Path) -> Captions:
    """Read references; rows with the same youtube_id and start_time belong to one clip."""
    found = Captions(path)
    for line, row in read_table(path, COLUMNS):
        native, video, start, caption = (row[name].strip() for name in COLUMNS)
        if native in found.items:
            raise DataError(
                f"the id {shown([native])} is used by two rows",
                where=path,
                line=line,
                key="audiocap_id",
                hint="remove one of them",
            )
        found.add(f"{video}_{start}", caption, video, native, line=line)
    return found


def _coco(path: Path) -> Captions:
    found = Captions(path)
    for line, row in elements(path, "annotations"):
        item = str(need(row, "image_id", (int, str), path, line))
        found.add(item, need_of(item, row, "caption", str, path, line), line=line)
    return found


def read_predictions(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, id, caption) of a CSV such as `id,caption`, or JSON such as COCO's results.

    The id is in `id`, `image_id`, `audiocap_id` or `youtube_id`; `youtube_id` with `start_time`
    identifies a clip of the video.

    Raises:
        DataError: another format, or a caption that is not a string.
    """
    if path.suffix.lower() == ".csv":
        for line, row in read_table(path, ()):
            yield line, *_prediction(row, path, line)
    elif path.suffix.lower() == ".json":
        for line, row in elements(path):
            yield line, *_prediction(row if isinstance(row, dict) else {}, path, line)
    else:
        raise DataError(
            f"unknown suffix {path.suffix!r}",
            where=path,
            hint='give a CSV with id,caption, or JSON with a list of {"image_id", "caption"}',
        )


def _prediction(row: dict[str, Any], path: Path, line: int) -> tuple[str, str]:
    key = next((key for key in _ID_KEYS if key in row), _ID_KEYS[0])
    caption_key = next((key for key in _CAPTION_KEYS if key in row), _CAPTION_KEYS[0])
    native = str(need(row, key, (int, str), path, line)).strip()
    if key == "youtube_id" and "start_time" in row:
        native += f"_{need_of(native, row, 'start_time', (int, str), path, line)}".strip()
    return native, need_of(native, row, caption_key, str, path, line)
