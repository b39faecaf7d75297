"""Write the annotation files in the layouts that the datasets' authors publish.

Besides the official keys, rows have the key `difficulty`, which other readers ignore.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from safe.hearing.miniature.world.balance import VQA_WEIGHTS, annotators
from safe.hearing.miniature.world.captions import captions
from safe.hearing.miniature.world.draw import OFFICIAL
from safe.hearing.miniature.world.plan import SPLITS, Item, Plan
from safe.hearing.miniature.world.words import GQA, Question

INFO = {
    "description": "Miniature world in the layout of VQA v2",
    "version": "2.0",
    "contributor": "generated",
}
LICENSE = {"name": "none: generated data", "url": ""}
GQA_NAMES = {"train": "train", "val": "val", "test": "testdev"}
# VQA v2's question types are the first words of the question.
VQA_TYPES = {
    "color": "what color is the",
    "object": "what is the",
    "count": "how many",
    "existence": "is there a",
    "spatial": "is the",
}
AVE_HEADER = "Category&VideoID&Quality&StartTime&EndTime&Modality"


def _rng(plan: Plan, item: Item, purpose: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, purpose, *item.native.encode()])


def _listed(plan: Plan, dataset: str, split: str) -> list[Item]:
    """Return the items of a split, and those that leak into it."""
    also = [item for item, where in plan.leaked if item.dataset == dataset and where == split]
    return plan.of(dataset, split) + also


def _rows(rows: Iterable[Any], head: dict[str, Any] | None = None, key: str = "") -> str:
    """Format JSON with one row per line: a list, or `head` with the list under `key`."""
    listed = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"
    if head is None:
        return listed + "\n"
    fields = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items()]
    return "{" + ",\n".join([*fields, f"{json.dumps(key)}: {listed}"]) + "}\n"


def _event_lines(item: Item) -> list[str]:
    assert item.sound is not None
    seen = {kind for _, kind in item.scene.instruments} if item.scene is not None else set()
    return [
        f"{e.label}&{item.native}&good&{e.start:.3f}&{e.end:.3f}"
        f"&{'both' if e.label in seen else 'audio'}"
        for e in item.sound.events
    ]


def write_audiocaps(plan: Plan, root: Path) -> None:
    """Write `{train,val,test}.csv`, and `Annotations.txt` with the times of the sounds."""
    folder, number = root / "audiocaps", 0
    numbers = np.random.default_rng([plan.seed, 5]).permutation(110_000) + 1
    for split in SPLITS:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("audiocap_id", "youtube_id", "start_time", "caption", "difficulty"))
        for item in _listed(plan, "audiocaps", split):
            assert item.sound is not None
            references = captions(item.sound, _rng(plan, item, 6))
            for caption in references[:1] if split == "train" else references:
                row = (numbers[number], item.native, item.start, caption, item.difficulty)
                table.writerow(row)
                number += 1
        (folder / f"{split}.csv").write_text(text.getvalue(), encoding="utf-8")
    lines = [line for item in plan.items["audiocaps"] for line in _event_lines(item)]
    (folder / "Annotations.txt").write_text("\n".join([AVE_HEADER, *lines, ""]))


def _answer_type(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer in ("zero", "one", "two", "three", "four") else "other"


def write_vqav2(plan: Plan, root: Path) -> None:
    """Write questions and annotations of train2014, val2014 and test2015 (here with answers)."""
    for split in SPLITS:
        name, questions, annotations = OFFICIAL[split], [], []
        for item in _listed(plan, "vqav2", split):
            rng, image_id = _rng(plan, item, 7), int(item.native)
            for number, question in enumerate(item.questions):
                question_id = image_id * 1000 + number
                questions.append(
                    {
                        "image_id": image_id,
                        "question": question.text,
                        "question_id": question_id,
                        "difficulty": item.difficulty,
                    }
                )
                answers = [
                    {
                        "answer": answer,
                        "answer_confidence": "yes" if answer == question.answer else "maybe",
                        "answer_id": who + 1,
                    }
                    for who, answer in enumerate(annotators(question, VQA_WEIGHTS, rng))
                ]
                annotations.append(
                    {
                        "question_type": VQA_TYPES[question.type],
                        "multiple_choice_answer": question.answer,
                        "answers": answers,
                        "image_id": image_id,
                        "answer_type": _answer_type(question.answer),
                        "question_id": question_id,
                    }
                )
        head = {"info": INFO, "license": LICENSE, "data_type": "mscoco", "data_subtype": name}
        folder = root / "vqav2"
        (folder / f"v2_OpenEnded_mscoco_{name}_questions.json").write_text(
            _rows(questions, {**head, "task_type": "Open-Ended"}, "questions")
        )
        (folder / f"v2_mscoco_{name}_annotations.json").write_text(
            _rows(annotations, head, "annotations")
        )


def _gqa_row(item: Item, question: Question) -> dict[str, Any]:
    structural, semantic, detailed, _ = GQA[question.name]
    subject = question.values[0]
    rest = " ".join(question.values[1:])
    steps: list[dict[str, Any]] = [
        {"operation": "select", "dependencies": [], "argument": subject},
        {"operation": structural, "dependencies": [0], "argument": rest},
    ]
    if question.answer in ("yes", "no"):
        truth = "it is so" if question.answer == "yes" else "it is not"
        full = f"{question.answer.capitalize()}, {truth}."
    else:
        full = f"The answer is {question.answer}."
    return {
        "semantic": steps,
        "entailed": [],
        "equivalent": [],
        "question": question.text,
        "imageId": item.native,
        "isBalanced": True,
        "groups": {"global": semantic, "local": f"{len(subject):02d}-{subject}"},
        "answer": question.answer,
        "semanticStr": "->".join(f"{s['operation']}: {s['argument']}" for s in steps),
        "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
        "types": {"detailed": detailed, "semantic": semantic, "structural": structural},
        "fullAnswer": full,
        "difficulty": item.difficulty,
    }


def write_gqa(plan: Plan, root: Path) -> None:
    """Write `{train,val,testdev}_balanced_questions.json`: question id -> question."""
    numbers = iter(np.random.default_rng([plan.seed, 8]).permutation(10**7).tolist())
    marked = plan.faults.get("id_leak")
    for split in SPLITS:
        rows = {}
        for item in _listed(plan, "gqa", split):
            for question in item.questions:
                key = f"{next(numbers):08d}"
                if marked is not None and item.native in marked:
                    key = f"{key}_{question.answer}"
                rows[key] = _gqa_row(item, question)
        lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(row)}" for k, row in rows.items())
        path = root / "gqa" / f"{GQA_NAMES[split]}_balanced_questions.json"
        path.write_text("{\n" + lines + "\n}\n")


def write_music_avqa(plan: Plan, root: Path) -> None:
    """Write `avqa-{train,val,test}.json` (types and slot values as JSON strings) and AVE's file."""
    number = 0
    for split in SPLITS:
        rows = []
        for item in _listed(plan, "music_avqa", split):
            for question in item.questions:
                # "Audio-Visual-Counting" -> "Audio-Visual", "Counting"
                pair = question.type.rsplit("-", 1)
                number += 1
                rows.append(
                    {
                        "video_id": item.native,
                        "question_id": number,
                        "type": json.dumps(pair),
                        "question_content": question.template,
                        "templ_values": json.dumps(list(question.values)),
                        "question_deleted": 0,
                        "anser": question.answer,
                        "difficulty": item.difficulty,
                    }
                )
        (root / "music_avqa" / f"avqa-{split}.json").write_text(_rows(rows))
    lines = [line for item in plan.items["music_avqa"] for line in _event_lines(item)]
    folder = root / "ave"
    folder.mkdir(exist_ok=True)
    (folder / "Annotations.txt").write_text("\n".join([AVE_HEADER, *lines, ""]))


WRITERS: dict[str, Callable[[Plan, Path], None]] = {
    "audiocaps": write_audiocaps,
    "vqav2": write_vqav2,
    "gqa": write_gqa,
    "music_avqa": write_music_avqa,
}
