"""VQA v2: questions JSON, annotations JSON with ten answers, COCO image folders.

`v2_OpenEnded_mscoco_{split}_questions.json`, `v2_mscoco_{split}_annotations.json` and
`{split}/COCO_{split}_{image_id:012d}.jpg` (or png), where split is e.g. `train2014`.
An optional key `difficulty` of a question sets the difficulty; the default depends on the
annotators' agreement.
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
    majority,
    need,
    repeated_id,
)
from safe.hearing.data.annotations.json_stream import stream_array
from safe.hearing.data.annotations.raw import Row, json_items
from safe.hearing.data.sample import Difficulty, MediaRef, Sample

METRIC = "vqa"
OPTIONS = {
    "image": "path of an image, from {split} and {image_id}; suffix optional",
}
# A folder as unzipped also has complementary pairs, and questions of test without annotations.
FILES = {
    "": (r"annotations",),
    "_questions": (r"OpenEnded.*questions", r"questions"),
}


def _by_agreement(answers: tuple[str, ...]) -> Difficulty:
    """Easy if at least 80 % of the annotators agree, medium from 50 %."""
    share = answers.count(majority(answers)) / len(answers)
    return "easy" if share >= 0.8 else "medium" if share >= 0.5 else "hard"


def _paired(
    questions: Path, annotations: Path
) -> Iterator[tuple[int, dict[str, Any], int, dict[str, Any]]]:
    """Yield each question with its annotation.

    The published files have the same order, so only annotations out of order are kept in memory.
    """
    waiting: dict[int, tuple[int, dict[str, Any]]] = {}
    seen: set[int] = set()
    stream = stream_array(annotations, "annotations")
    for line, question in stream_array(questions, "questions"):
        native = need(question, "question_id", int, questions, line)
        if native in seen:
            raise repeated_id(native, questions, line, "question_id")
        seen.add(native)
        while native not in waiting:
            found = next(stream, None)
            if found is None:
                raise DataError(
                    f"question {native} has no annotation",
                    where=questions,
                    line=line,
                    key="question_id",
                    hint=f"use questions and annotations of the same split ({annotations.name})",
                )
            key = need(found[1], "question_id", int, annotations, found[0])
            if key in waiting:
                raise repeated_id(key, annotations, found[0], "question_id")
            waiting[key] = found
        yield (line, question, *waiting.pop(native))


def _questions(job: ReadJob) -> Path:
    return job.annotation(
        f"v2_OpenEnded_mscoco_{job.native}_questions.json", f"{job.split}_questions"
    )


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every question."""
    for question in json_items(_questions(job), "questions.item"):
        yield Row(str(question["question_id"]), [str(question["image_id"])])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield samples in order of the questions file."""
    questions = _questions(job)
    annotations = job.annotation(f"v2_mscoco_{job.native}_annotations.json")
    pattern = job.option("image", "{split}/COCO_{split}_{image_id:012d}")
    for line, question, row, annotation in _paired(questions, annotations):
        image_id = need(question, "image_id", int, questions, line)
        text = need(question, "question", str, questions, line).strip()
        given = need(annotation, "answers", list, annotations, row)
        answers = tuple(need(a, "answer", str, annotations, row).strip() for a in given)
        if not answers or not text or image_id < 0:
            raise DataError(
                "a question needs text, an image and at least one answer",
                where=annotations,
                line=row,
                key="answers",
                hint="correct or remove the row",
            )
        kind = need(annotation, "question_type", str, annotations, row)
        if "difficulty" in question:
            difficulty = check_difficulty(question["difficulty"], where=questions, line=line)
        else:
            difficulty = _by_agreement(answers)
        yield Sample(
            id=job.sample_id(question["question_id"]),
            dataset=job.config.name,
            split=job.split,
            task="vl",
            question=text,
            question_type=kind,
            answers=answers,
            answer=majority(answers),
            source=f"coco:{image_id}",
            image=MediaRef(job.media(pattern, IMAGE_SUFFIXES, split=job.native, image_id=image_id)),
            difficulty=difficulty,
            labels={"answer_type": str(annotation.get("answer_type", ""))},
        )
