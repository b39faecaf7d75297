"""Read the items of a large JSON file one at a time, in memory independent of the file's size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safe.errors import DataError

CHUNK = 1 << 20
LARGEST = 64 << 20  # characters of one value; stops a malformed one from loading the whole file
_AFTER = frozenset(",]}: \t\r\n")
_SPACE = re.compile(r"[ \t\r\n]*")


class _Scanner:
    """A sliding window of text over the file, with the current line number."""

    def __init__(self, path: Path, chunk: int) -> None:
        self.path, self.chunk = path, chunk
        self.handle = path.open(encoding="utf-8-sig", newline="")
        self.text, self.at, self.ended, self.line = "", 0, False, 1
        self.decoder = json.JSONDecoder()

    def fill(self) -> bool:
        """Read one more chunk; False at the end of the file."""
        if self.ended:
            return False
        more = self.handle.read(self.chunk)
        self.ended = not more
        self.text, self.at = self.text[self.at :] + more, 0
        return not self.ended

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            assert match is not None
            self.move(match.end())
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill():
                return ""

    def take(self, wanted: str) -> str:
        """Consume one of the characters in `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.fault(f"expected one of {' '.join(wanted)}, found {found or 'the end'}")
        self.move(self.at + 1)
        return found

    def value(self) -> Any:
        """Consume one whole JSON value."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                further = self.text.count("\n", self.at, error.pos)
                open_end = error.pos >= len(self.text.rstrip()) or "Unterminated" in error.msg
                if len(self.text) - self.at > LARGEST or not self.fill():
                    raise self.fault(error.msg, further, cut=open_end) from None
                continue
            # A number at the window's edge may continue in the next chunk.
            if self.text[end : end + 1] not in _AFTER and self.fill():
                continue
            self.move(end)
            return value

    def fault(self, what: str, further: int = 0, cut: bool | None = None) -> DataError:
        cut = self.ended and not self.text[self.at :].strip() if cut is None else cut
        return DataError(
            f"broken JSON: {what}" + (" (the file seems cut off)" if cut else ""),
            where=self.path,
            line=self.line + further,
            hint="download the file again, or correct that line",
        )


def _members(scan: _Scanner) -> Iterator[str]:
    """Yield the keys of the object that begins here; the caller consumes each value."""
    scan.take("{")
    if scan.peek() == "}":
        scan.take("}")
        return
    while True:
        key = scan.value()
        if not isinstance(key, str):
            raise scan.fault("an object's key must be a string")
        scan.take(":")
        yield key
        if scan.take(",}") == "}":
            return


def _elements(scan: _Scanner) -> Iterator[tuple[int, Any]]:
    scan.take("[")
    if scan.peek() == "]":
        scan.take("]")
        return
    while True:
        scan.peek()
        line = scan.line
        yield line, scan.value()
        if scan.take(",]") == "]":
            return


def stream_array(
    path: Path, key: str | None = None, *, chunk: int = CHUNK
) -> Iterator[tuple[int, Any]]:
    """Yield (line, element) of a top-level array, or of the array under `key` of an object.

    Raises:
        DataError: the file does not exist, is not UTF-8 or not valid JSON, or `key` is missing.
    """
    with _Opened(path, chunk) as scan:
        if key is None:
            yield from _elements(scan)
            _end(scan)
            return
        found = False
        for name in _members(scan):
            if name == key and scan.peek() == "[":
                found = True
                yield from _elements(scan)
            else:
                scan.value()
        if not found:
            raise DataError(
                f"there is no list under the key {key!r}",
                where=path,
                key=key,
                hint="the file is not in the layout that the dataset's authors publish",
            )
        _end(scan)


def stream_object(path: Path, *, chunk: int = CHUNK) -> Iterator[tuple[int, str, Any]]:
    """Yield (line, key, value) of a top-level object. Raises as `stream_array`."""
    with _Opened(path, chunk) as scan:
        for name in _members(scan):
            line = scan.line
            yield line, name, scan.value()
        _end(scan)


def _end(scan: _Scanner) -> None:
    if scan.peek():
        raise scan.fault(f"text after the end: {scan.text[scan.at : scan.at + 20]!r}")


class _Opened:
    """Context manager that opens a scanner and turns OS and encoding errors into DataError."""

    def __init__(self, path: Path, chunk: int) -> None:
        self.path, self.chunk = path, chunk

    def __enter__(self) -> _Scanner:
        try:
            self.scan = _Scanner(self.path, self.chunk)
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror}", where=self.path, hint="check the path"
            ) from None
        return self.scan

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.scan.handle.close()
        if isinstance(error, UnicodeDecodeError):
            raise DataError(
                f"not UTF-8 (byte 0x{error.object[error.start]:02x})",
                where=self.path,
                line=self.scan.line,
                hint="save the file as UTF-8",
            ) from None
