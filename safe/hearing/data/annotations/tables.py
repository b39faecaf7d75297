"""Read text tables (CSV or `&`-separated) with line numbers for error messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from safe.errors import DataError


def _decoded_lines(path: Path) -> Iterator[str]:
    # Decoded line by line to report the line of a byte in another encoding.
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                utf16 = number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff")
                raise DataError(
                    f"not UTF-8 (byte 0x{raw[error.start]:02x})"
                    + (": it looks like UTF-16" if utf16 else ""),
                    where=path,
                    line=number,
                    hint="save the file as UTF-8",
                ) from None
            if b"\0" in raw:
                raise DataError(
                    "contains a NUL character",
                    where=path,
                    line=number,
                    hint="correct the broken row (a damaged download?)",
                )


def _missing_column(
    path: Path, columns: tuple[str, ...], names: list[str], known: Mapping[str, tuple[str, ...]]
) -> DataError:
    missing = next(column for column in columns if column not in names)
    fitting = [layout for layout, others in known.items() if set(others) <= set(names)]
    formats = "; ".join(f"{layout}: {', '.join(others)}" for layout, others in known.items())
    return DataError(
        f"the column {missing!r} is missing; found: {', '.join(names) or 'nothing'}",
        where=path,
        line=1,
        key=missing,
        hint=f"this is a table of the layout `{fitting[0]}`"
        if fitting
        else f"the first line must name {', '.join(columns)}"
        + (f", or use another layout ({formats})" if known else ""),
    )


def read_table(
    path: Path,
    columns: tuple[str, ...],
    *,
    delimiter: str = ",",
    quoted: bool = True,
    known: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, row) of a table whose first line names its columns.

    Args:
        known: layout -> columns of tables that may be given by mistake; named in the error.

    Raises:
        DataError: the file does not exist or is not UTF-8, a column is missing, a row contains a
            NUL character, or the number of fields of a row differs from the header's.
    """
    try:
        lines = _decoded_lines(path)
        rows = csv.reader(
            lines,
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            strict=True,
        )
        header = next(rows, None)
        names = [] if header is None else [name.strip() for name in header]
        if not set(columns) <= set(names):
            raise _missing_column(path, columns, names, known or {})
        while True:
            start = rows.line_num + 1
            row = next(rows, None)
            if row is None:
                return
            if not row:
                continue
            if len(row) != len(names):
                raise DataError(
                    f"{len(row)} fields where the header has {len(names)}",
                    where=path,
                    line=start,
                    hint="correct or remove the broken row (an unquoted separator, a cut line?)",
                )
            yield start, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise DataError(
            f"broken row: {error}",
            where=path,
            line=rows.line_num,
            hint="correct the quoting at that line",
        ) from None
    except FileNotFoundError:
        raise DataError("no such file", where=path, hint="check the path") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
