"""MUSIC-AVQA: `avqa-{split}.json`, a list of questions on videos in `videos/{video_id}.mp4`.

`type` and `templ_values` are JSON strings, `<...>` slots of the question are filled in order, and
the key of the answer is `anser`. Rows with `question_deleted` are omitted and counted. The
published files repeat some questions with another annotator's answer: such rows become further
references of one item, and are counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safe.errors import DataError
from safe.hearing.data.annotations.base import (
    VIDEO_SUFFIXES,
    ReadJob,
    check_difficulty,
    check_name,
    majority,
    need,
    repeated_id,
)
from safe.hearing.data.annotations.json_stream import stream_array
from safe.hearing.data.annotations.raw import Row, json_items
from safe.hearing.data.sample import Difficulty, MediaRef, Sample, Task

OPTIONS = {
    "video": "path of a video, from {video_id}; suffix optional",
    "frame": "second of the frame taken as the picture (default 1.0; the last one if shorter)",
    "start": "second at which the sound begins (default 0.0)",
    "duration": "seconds of sound taken (default 0.0: to the end)",
    "events": "AVE-style Annotations.txt whose VideoID is the video_id",
}
FILES = {"": (r"avqa-\w+\.json\Z",)}
TASKS: dict[str, Task] = {"Audio": "audio", "Visual": "vl", "Audio-Visual": "av"}
DIFFICULTY: dict[str, Difficulty] = {
    "Existential": "easy",
    "Location": "easy",
    "Counting": "medium",
    "Comparative": "hard",
    "Temporal": "hard",
}
_SLOT = re.compile(r"<[^<>]*>")


def _json_list(row: dict[str, Any], key: str, path: Path, line: int) -> list[str]:
    text = need(row, key, str, path, line)
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise DataError(
            f"{text[:60]!r} is not a JSON list of strings",
            where=path,
            line=line,
            key=key,
            hint='MUSIC-AVQA writes this key as a JSON string such as "[\\"Audio\\"]"',
        )
    return value


def _filled(row: dict[str, Any], path: Path, line: int) -> str:
    template = need(row, "question_content", str, path, line).strip()
    values = _json_list(row, "templ_values", path, line)
    if len(_SLOT.findall(template)) != len(values) or not template:
        raise DataError(
            f"{len(values)} values for {len(_SLOT.findall(template))} slots",
            where=path,
            line=line,
            key="templ_values",
            hint="each <...> of question_content needs one value",
        )
    filler = iter(values)
    return _SLOT.sub(lambda _: next(filler), template)


def _rows(job: ReadJob, path: Path) -> Iterator[tuple[int, dict[str, Any], str, list[str]]]:
    """Yield (line, first row, filled question, answers) per question, in order of appearance."""
    found: dict[int, tuple[int, dict[str, Any], str, list[str]]] = {}
    deleted: list[str] = []
    twice: list[str] = []
    for line, row in stream_array(path):
        native = need(row, "question_id", int, path, line)
        if row.get("question_deleted"):
            deleted.append(str(native))
            continue
        question = _filled(row, path, line)
        answer = need(row, "anser", str, path, line).strip()
        video = check_name(
            need(row, "video_id", str, path, line), where=path, line=line, key="video_id"
        )
        if not answer:
            raise DataError(
                "the answer is empty", where=path, line=line, key="anser", hint="remove the row"
            )
        first = found.get(native)
        if first is None:
            found[native] = (line, row, question, [answer])
        elif first[1]["video_id"] == video and first[2] == question and answer not in first[3]:
            first[3].append(answer)
            twice.append(f"question {native}: {' / '.join(first[3])} (line {line})")
        else:
            raise repeated_id(native, path, line, "question_id")
    job.note("rows marked question_deleted, left out", path, deleted)
    job.note("questions published again with another answer, kept as references", path, twice)
    yield from found.values()


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every question that is not marked as deleted."""
    for row in json_items(job.annotation(f"avqa-{job.native}.json"), "item"):
        if not row.get("question_deleted"):
            yield Row(str(row["question_id"]), [row["video_id"]])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield samples in file order. Keeps one split's questions in memory."""
    path = job.annotation(f"avqa-{job.native}.json")
    pattern = job.option("video", "videos/{video_id}")
    frame, start = job.option("frame", 1.0), job.option("start", 0.0)
    duration = job.option("duration", 0.0) or None
    for line, row, question, answers in _rows(job, path):
        kinds = _json_list(row, "type", path, line)
        if len(kinds) != 2 or kinds[0] not in TASKS:
            raise DataError(
                f"unknown type {kinds}",
                where=path,
                line=line,
                key="type",
                hint=f"the first part must be one of {', '.join(TASKS)}",
            )
        task, video = TASKS[kinds[0]], row["video_id"]
        file = job.media(pattern, VIDEO_SUFFIXES, video_id=video)
        if "difficulty" in row:
            difficulty = check_difficulty(row["difficulty"], where=path, line=line)
        else:
            difficulty = DIFFICULTY.get(kinds[1], "medium")
        yield Sample(
            id=job.sample_id(row["question_id"]),
            dataset=job.config.name,
            split=job.split,
            task=task,
            question=question,
            question_type=f"{kinds[0]}/{kinds[1]}",
            answers=tuple(answers),
            answer=majority(answers),
            source=f"video:{video}",
            image=MediaRef(file, frame=float(frame)),
            # Visual questions need no sound, so they are vision-language examples.
            audio=None if task == "vl" else MediaRef(file, float(start), duration),
            difficulty=difficulty,
            events=job.events_of(video),
        )
