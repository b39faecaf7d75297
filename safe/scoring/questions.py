"""Read the correct answers and question types of published annotation files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safe.errors import DataError
from safe.hearing.data.annotations.base import repeated_id
from safe.hearing.data.layouts.music_avqa import TASKS
from safe.hearing.evaluation.vqa import HUMANS
from safe.scoring.json_files import elements, members
from safe.scoring.results import Id, need_of, number_id, shown


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its reference answers, and the groups of figures that include it."""

    references: Sequence[str]
    groups: tuple[str, ...]


@dataclass
class Questions:
    """Questions of one file.

    Attributes:
        path: the file.
        asked: id -> question, in file order.
        left_out: ids in the file that the dataset's official evaluation excludes.
        counts: for example the number of excluded questions.
        missing: group of figures that cannot be computed -> reason.
    """

    path: Path
    asked: dict[Id, Question] = field(default_factory=dict)
    left_out: set[Id] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def checked(self) -> Questions:
        """Return itself; raise DataError if there are no questions."""
        if not self.asked:
            raise DataError(
                "the file has no question to score",
                where=self.path,
                hint="use the annotations of a split with published answers",
            )
        return self


def _answer(native: Id, row: Any, key: str, path: Path, line: int) -> str:
    answer: str = need_of(native, row, key, str, path, line)
    if not answer.strip():
        raise DataError(
            f"question {shown([native])}: the correct answer is empty",
            where=path,
            line=line,
            key=key,
            hint="correct or remove the row",
        )
    return answer


def vqav2_questions(path: Path) -> Questions:
    """Read `v2_mscoco_{split}_annotations.json`: ten human answers per question, and its types.

    Raises:
        DataError: another format, a duplicate id, or a question without ten answers.
    """
    found = Questions(path)
    for line, row in elements(path, "annotations"):
        native = number_id(row, "question_id", path, line)
        if native in found.asked:
            raise repeated_id(native, path, line, "question_id")
        given = need_of(native, row, "answers", list, path, line)
        if len(given) != HUMANS:
            raise DataError(
                f"question {native} has {len(given)} human answers; VQA accuracy needs {HUMANS}",
                where=path,
                line=line,
                key="answers",
                hint="use the published annotations, with all ten answers",
            )
        found.asked[native] = Question(
            [need_of(native, human, "answer", str, path, line) for human in given],
            (
                f"by_answer_type.{need_of(native, row, 'answer_type', str, path, line)}",
                f"by_question_type.{need_of(native, row, 'question_type', str, path, line)}",
            ),
        )
    return found.checked()


def gqa_questions(path: Path) -> Questions:
    """Read `{split}_balanced_questions.json`: question id -> `answer` and `types`.

    As in the official code, questions with `isBalanced: false` are excluded, and a question is
    open if its structural type is `query`, else binary.

    Raises:
        DataError: another format, a duplicate id, or a question without an answer.
    """
    found = Questions(path)
    untyped = 0
    for line, native, row in members(path):
        if native in found.asked or native in found.left_out:
            raise repeated_id(shown([native]), path, line, shown([native]))
        answer = _answer(native, row, "answer", path, line)
        if row.get("isBalanced") is False:
            found.left_out.add(native)
            continue
        groups: tuple[str, ...] = ()
        if "types" in row:
            types = need_of(native, row, "types", dict, path, line)
            structural = need_of(native, types, "structural", str, path, line)
            groups = (
                f"by_answer_type.{'open' if structural == 'query' else 'binary'}",
                f"by_structural_type.{structural}",
                f"by_semantic_type.{need_of(native, types, 'semantic', str, path, line)}",
            )
        untyped += not groups
        found.asked[native] = Question((answer,), groups)
    found.counts = {"not_balanced_left_out": len(found.left_out), "without_types": untyped}
    if untyped == len(found.asked):
        why = "no question of the file has `types`; use the published file"
        names = ("by_answer_type", "by_structural_type", "by_semantic_type")
        found.missing = dict.fromkeys(names, why)
    return found.checked()


def music_avqa_questions(path: Path) -> Questions:
    """Read `avqa-{split}.json`: a list with the answer in `anser` and `type` as a JSON string.

    Rows with `question_deleted` are excluded. A question published twice with two annotators'
    answers is one item for which both answers are correct. The published code scores such rows
    separately, so one of the two is always wrong.

    Raises:
        DataError: another format, a duplicate id with the same answer or another question, or an
            unknown type.
    """
    found = Questions(path)
    first_rows: dict[Id, tuple[Any, ...]] = {}
    twice = 0
    for line, row in elements(path):
        native = number_id(row, "question_id", path, line)
        if row.get("question_deleted"):
            found.left_out.add(native)
            continue
        answer = _answer(native, row, "anser", path, line)
        same = tuple(row.get(key) for key in ("video_id", "question_content", "templ_values"))
        if native not in found.asked:
            first_rows[native] = same
            found.asked[native] = Question([answer], _music_groups(native, row, path, line))
            continue
        references = list(found.asked[native].references)
        if first_rows[native] != same or answer in references:
            raise repeated_id(native, path, line, "question_id")
        twice += len(references) == 1
        found.asked[native] = Question([*references, answer], found.asked[native].groups)
    found.left_out -= found.asked.keys()
    found.counts = {"deleted_left_out": len(found.left_out), "with_several_answers": twice}
    return found.checked()


def _music_groups(native: Id, row: Any, path: Path, line: int) -> tuple[str, ...]:
    text = need_of(native, row, "type", str, path, line)
    try:
        kinds = json.loads(text)
    except (ValueError, RecursionError):
        kinds = None
    if (
        not isinstance(kinds, list)
        or len(kinds) != 2
        or not all(isinstance(kind, str) for kind in kinds)
        or kinds[0] not in TASKS
    ):
        raise DataError(
            f"question {native}: unknown type {text[:60]!r}",
            where=path,
            line=line,
            key="type",
            hint='use a JSON string such as "[\\"Audio\\", \\"Counting\\"]", that starts with '
            + ", ".join(TASKS),
        )
    return (f"by_modality.{kinds[0]}", f"by_type.{kinds[0]} {kinds[1]}")
