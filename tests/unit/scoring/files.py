"""Small annotation and results files in the published formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write(path: Path, value: object, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(value), encoding=encoding)
    return path


def vqa_row(number: int, humans: Sequence[str], answer_type="other", question_type="what"):
    return {
        "question_id": number,
        "image_id": number,
        "question_type": question_type,
        "answer_type": answer_type,
        "multiple_choice_answer": humans[0] if humans else "",
        "answers": [
            {"answer": human, "answer_confidence": "yes", "answer_id": i + 1}
            for i, human in enumerate(humans)
        ],
    }


def vqa_file(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    return write(folder / "annotations.json", {"info": {}, "annotations": rows})


def results_file(folder: Path, answers: Mapping[Any, object]) -> Path:
    rows = [{"question_id": native, "answer": answer} for native, answer in answers.items()]
    return write(folder / "results.json", rows)


def gqa_row(answer: str, structural: str | None = None, semantic="attr", **more: object):
    row: dict[str, object] = {"imageId": "1", "question": "What?", "answer": answer}
    if structural is not None:
        row["types"] = {"structural": structural, "semantic": semantic, "detailed": "x"}
    return row | more


def music_row(number: int, answer: str, kind='["Audio", "Counting"]', **more: object):
    row = {
        "video_id": "00000093",
        "question_id": number,
        "type": kind,
        "question_content": "How many instruments?",
        "templ_values": "[]",
        "question_deleted": 0,
        "anser": answer,
    }
    return row | more
