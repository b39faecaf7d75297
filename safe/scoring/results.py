"""Read answers in the datasets' official results formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safe.errors import DataError
from safe.hearing.data.annotations.base import need
from safe.scoring.json_files import elements
from safe.scoring.report import printable

Id = int | str
_LONGEST = 18  # digits of an id


def number_id(row: Any, key: str, path: Path, line: int) -> int:
    """Read an id that the dataset writes as a number; a string of digits is also accepted."""
    value = need(row, key, (int, str), path, line)
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal() and len(value) <= _LONGEST):
            raise DataError(
                f"the id {value[:60]!r} is not a number",
                where=path,
                line=line,
                key=key,
                hint="write ids as in the annotations",
            )
        value = int(value)
    return int(value)


def text_id(row: Any, key: str, path: Path, line: int) -> str:
    """Read an id that must be a string, because a number has lost its leading zeros."""
    return str(need(row, key, str, path, line))


def read_results(
    path: Path,
    read_id: Callable[[Any, str, Path, int], Id],
    keys: tuple[tuple[str, str], ...] = (("question_id", "answer"),),
) -> dict[Id, str]:
    """Read answers, by question id.

    Args:
        path: JSON, `[{"question_id": ..., "answer": ...}, ...]`; other keys are ignored.
        read_id: `number_id` or `text_id`.
        keys: accepted names of (id, answer); the first pair whose id is in the row is used.

    Raises:
        DataError: another format, an id or answer of a wrong type, or a duplicate id; names the
            line.
    """
    answers: dict[Id, str] = {}
    repeated: list[tuple[int, Id]] = []
    for line, row in elements(path):
        named = row if isinstance(row, dict) else {}
        key, answer_key = next((pair for pair in keys if pair[0] in named), keys[0])
        native = read_id(row, key, path, line)
        answer = need_of(native, row, answer_key, str, path, line)
        if native in answers:
            repeated.append((line, native))
        answers[native] = answer
    if repeated:
        line, native = repeated[0]
        raise DataError(
            f"{len(repeated)} answers to questions that already have one: "
            f"{shown(i for _, i in repeated)}",
            where=path,
            line=line,
            hint="keep one answer per question",
        )
    return answers


def need_of(
    native: Id, row: Any, key: str, kind: type | tuple[type, ...], path: Path, line: int
) -> Any:
    """Call `need`, and add the question to the message: such files are often one line long."""
    try:
        return need(row, key, kind, path, line)
    except DataError as error:
        raise DataError(
            f"question {shown([native])}: {error.what}",
            where=path,
            line=line,
            key=key,
            hint=error.hint,
        ) from None


def shown(ids: Any, most: int = 5) -> str:
    """Format the first ids for a message."""
    listed = list(ids)
    some = ", ".join(printable(str(native)[:40]) for native in listed[:most])
    return some + (", ..." if len(listed) > most else "")
