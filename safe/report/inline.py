"""Embed or link files of an experiment; files outside its folder are rejected."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from safe.errors import SafeError
from safe.files import resolve_below

IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
MAX_INLINE = 4_000_000  # bytes; a larger plot is linked


@dataclass(frozen=True, slots=True)
class Linked:
    """A file: its displayed name, and its path relative to the page, or None with a note."""

    name: str
    href: str | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """An image as a data URI; scripts of an SVG do not run inside <img>."""

    name: str
    uri: str


def link(run_folder: Path, experiment: str, relative: str) -> Linked:
    """Link a file of an experiment, or state why it cannot be linked."""
    name = relative.partition("#")[0]
    try:
        path = resolve_below(run_folder / experiment, name)
    except (SafeError, ValueError):
        return Linked(relative, None, "outside its folder")
    if not path.is_file():
        return Linked(relative, None, "missing")
    return Linked(relative, quote(f"{experiment}/{name}"))


def plot(run_folder: Path, experiment: str, relative: str) -> Plot | Linked:
    """Embed a plot; return a link if it is missing, too large or of another type."""
    found = link(run_folder, experiment, relative)
    kind = IMAGES.get(Path(relative).suffix.lower())
    if found.href is None or kind is None:
        return found
    path = run_folder / experiment / relative
    if path.stat().st_size > MAX_INLINE:
        return Linked(found.name, found.href, "too large to show here")
    title = Path(relative).stem.replace("_", " ").capitalize()
    return Plot(title, f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
