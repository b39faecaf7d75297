"""Accuracy of answers to published questions, overall and by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safe.errors import DataError
from safe.hearing.evaluation import exact_match, vqa
from safe.scoring.questions import (
    Questions,
    gqa_questions,
    music_avqa_questions,
    vqav2_questions,
)
from safe.scoring.report import Figure, Scored
from safe.scoring.results import Id, number_id, read_results, shown, text_id

GQA_KEYS = (("questionId", "prediction"), ("question_id", "answer"))


def score_vqav2(annotations: Path, results: Path, *, allow_incomplete: bool = False) -> Scored:
    """VQA accuracy in %, over all, by answer type and by question type.

    Args:
        annotations: `v2_mscoco_{split}_annotations.json`.
        results: `[{"question_id": 1, "answer": "yes"}, ...]`.
        allow_incomplete: score a question without an answer as wrong, and only count answers to
            unknown questions; otherwise both are errors.

    Raises:
        DataError: a file is invalid; names file, line or ids, and the fix.
    """
    questions = vqav2_questions(annotations)
    answers = read_results(results, number_id)
    return score("vqav2", questions, results, answers, vqa.item_accuracy, allow_incomplete)


def score_gqa(annotations: Path, results: Path, *, allow_incomplete: bool = False) -> Scored:
    """Exact match in %, over all, open and binary, by structural and by semantic type.

    `results` may also be `[{"questionId": "1", "prediction": "yes"}, ...]`, the format of GQA.
    Otherwise as `score_vqav2`.
    """
    questions = gqa_questions(annotations)
    answers = read_results(results, text_id, GQA_KEYS)
    return score("gqa", questions, results, answers, exact_match.item_accuracy, allow_incomplete)


def score_music_avqa(annotations: Path, results: Path, *, allow_incomplete: bool = False) -> Scored:
    """Exact match in %, over all, by modality and by question type; otherwise as `score_vqav2`."""
    questions = music_avqa_questions(annotations)
    answers = read_results(results, number_id)
    rule = exact_match.item_accuracy
    return score("music-avqa", questions, results, answers, rule, allow_incomplete)


def score(
    task: str,
    questions: Questions,
    results: Path,
    answers: Mapping[Id, str],
    rule: Callable[[str, Sequence[str]], float],
    allow_incomplete: bool,
) -> Scored:
    """Compute the mean of `rule`, in %. The result does not depend on the order of the files."""
    unanswered = [native for native in questions.asked if native not in answers]
    known = questions.asked.keys() | questions.left_out
    unknown = [native for native in answers if native not in known]
    if (unanswered or unknown) and not allow_incomplete:
        raise _incomplete(questions, results, unanswered, unknown)
    groups: dict[str, list[float]] = {"accuracy": []}
    for native, question in questions.asked.items():
        answer = answers.get(native)
        value = 0.0 if answer is None else rule(answer, question.references)
        for name in ("accuracy", *question.groups):
            groups.setdefault(name, []).append(value)
    figures = {name: Figure(100 * math.fsum(v) / len(v)) for name, v in sorted(groups.items())}
    return Scored(
        task=task,
        n=len(questions.asked),
        figures=figures | {name: Figure(None, why) for name, why in questions.missing.items()},
        counts={"unanswered": len(unanswered), "unknown": len(unknown)} | questions.counts,
        unit="%",
        sizes={name: len(values) for name, values in groups.items() if name != "accuracy"},
    )


def _incomplete(
    questions: Questions, results: Path, unanswered: Sequence[Id], unknown: Sequence[Id]
) -> DataError:
    faults = []
    if unanswered:
        faults.append(
            f"{len(unanswered)} of {len(questions.asked)} questions have no answer "
            f"({shown(unanswered)})"
        )
    if unknown:
        faults.append(
            f"{len(unknown)} answers are to questions that are not in {questions.path.name} "
            f"({shown(unknown)})"
        )
    return DataError(
        " and ".join(faults),
        where=results,
        hint="give all answers of this split, and only those; with --allow-incomplete, questions "
        "without an answer count as wrong and other answers are ignored",
    )
