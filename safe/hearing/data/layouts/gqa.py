"""GQA: `{split}_balanced_questions.json`, a dict by question id, and `images/{imageId}.jpg`.

An optional key `difficulty` sets the difficulty; the default depends on the number of reasoning
steps (the `semantic` program that GQA publishes with every question).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safe.errors import DataError
from safe.hearing.data.annotations.base import (
    IMAGE_SUFFIXES,
    ReadJob,
    check_difficulty,
    check_name,
    need,
    repeated_id,
)
from safe.hearing.data.annotations.json_stream import stream_object
from safe.hearing.data.annotations.raw import Row, json_pairs
from safe.hearing.data.sample import Difficulty, MediaRef, Sample

OPTIONS = {
    "image": "path of an image, from {image_id}; suffix optional",
    "source": "prefix of the source key (default gqa; `coco` where imageId is a COCO id)",
}
# `all` is a larger set of questions than `balanced`; `test` and `challenge` have no answers.
FILES = {
    "": (
        r"\A(train|val|testdev)_balanced_questions\.json\Z",
        r"\A(train|val|testdev)_all_questions\.json\Z",
    )
}


def _by_steps(row: dict[str, Any]) -> Difficulty:
    """Easy up to two steps, medium up to four; easy if no program is given."""
    program = row.get("semantic")
    steps = len(program) if isinstance(program, list) else 0
    return "easy" if steps <= 2 else "medium" if steps <= 4 else "hard"


def _questions(job: ReadJob) -> Path:
    return job.annotation(f"{job.native}_balanced_questions.json")


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every question."""
    for native, question in json_pairs(_questions(job)):
        yield Row(native, [question["imageId"]])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield samples in file order."""
    path = _questions(job)
    pattern = job.option("image", "images/{image_id}")
    prefix = job.option("source", "gqa")
    seen: set[str] = set()
    for line, native, row in stream_object(path):
        check_name(native, where=path, line=line, key=native)
        if native in seen:
            raise repeated_id(native, path, line, native)
        seen.add(native)
        image_id = check_name(
            need(row, "imageId", str, path, line), where=path, line=line, key=f"{native}.imageId"
        )
        question = need(row, "question", str, path, line).strip()
        answer = need(row, "answer", str, path, line).strip()
        if not question or not answer:
            raise DataError(
                "the question or its answer is empty",
                where=path,
                line=line,
                key=native,
                hint="correct or remove the row",
            )
        types = row.get("types")
        kind = types.get("structural", "") if isinstance(types, dict) else ""
        if "difficulty" in row:
            difficulty = check_difficulty(row["difficulty"], where=path, line=line)
        else:
            difficulty = _by_steps(row)
        yield Sample(
            id=job.sample_id(native),
            dataset=job.config.name,
            split=job.split,
            task="vl",
            question=question,
            question_type=str(kind or "query"),
            answers=(answer,),
            answer=answer,
            source=f"{prefix}:{image_id}",
            image=MediaRef(job.media(pattern, IMAGE_SUFFIXES, image_id=image_id)),
            difficulty=difficulty,
        )
