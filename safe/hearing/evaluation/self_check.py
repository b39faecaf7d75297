"""Checks of the metrics against independent sources.

The sources are closed forms, manual counts, scipy, and scores of the official caption
implementation for a published file, if the file is available.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safe.errors import DataError
from safe.hearing.evaluation import aggregate, captions, classification, exact_match, retention, vqa

# (answer, its normal form by `processPunctuation` and `processDigitArticle` of the VQA evaluation
# code; https://visualqa.org/evaluation.html).
SAME_ANSWER = (
    ("Two", "2"),
    ("the dog", "dog"),
    ("dont know", "don't know"),
    ("1,000", "1000"),
    ("Yes!", "yes"),
    ("a  red\tcar", "red car"),
)
CAPTIONS = {
    "1": "a dog barks while rain falls on a roof",
    "2": "a bell rings three times and then stops",
    "3": "people talk in a large and busy hall",
}
# pycocoevalcap 1.2 with its PTB tokenizer on the 464 AudioCaps clips of aac-metrics'
# `data/example_1.csv` (https://github.com/Labbeti/aac-metrics, MIT), to six digits.
KNOWN_CAPTION_SCORES = {
    "bleu_1": 0.504130,
    "bleu_2": 0.334898,
    "bleu_3": 0.222953,
    "bleu_4": 0.144917,
    "cider_d": 0.401724,
    "rouge_l": 0.395808,
}
KNOWN_TO = 5e-7  # rounding to six digits


@dataclass(frozen=True)
class Check:
    """Value of a metric and its expected value; if it could not run, `found` is None."""

    name: str
    found: float | None
    expected: float
    within: float = 0.0
    reason: str = ""

    @property
    def deviation(self) -> float:
        """Absolute error in excess of `within`; infinite if the error is not finite."""
        assert self.found is not None
        off = abs(self.found - self.expected)
        return max(0.0, off - self.within) if np.isfinite(off) else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a table row."""
        return asdict(self)


def run(*, caption_reference: Path | None = None) -> list[Check]:
    """Run all checks.

    Args:
        caption_reference: CSV file whose official scores are known.

    Raises:
        DataError: the CSV cannot be read.
    """
    return [
        *_vqa(),
        *_counting(),
        *_captions(),
        *_caption_file(caption_reference),
        *_divergence(),
        *_ranking(),
    ]


def _vqa() -> Iterator[Check]:
    for agree in range(11):
        # Of the ten subsets of nine, `agree` leave out a matching answer.
        expected = (agree * min(1, (agree - 1) / 3) + (10 - agree) * min(1, agree / 3)) / 10
        references = ["yes"] * agree + ["no"] * (10 - agree)
        found = vqa.item_accuracy("yes", references)
        yield Check(f"VQA accuracy, {agree} of ten agree", found, max(0.0, expected))
    for answer, normal in SAME_ANSWER:
        found = vqa.item_accuracy(answer, [*[normal] * 9, "something else"])
        yield Check(f"VQA normalisation, {answer!r}", found, 1.0)


def _counting() -> Iterator[Check]:
    """Accuracy over items, some of them unanswered, against a manual count."""
    answers = [str(i % 7) for i in range(200)]
    given = {
        "perfect": answers,
        "shuffled": [answers[(3 * i + 1) % 200] for i in range(200)],
        "half unanswered": [a if i % 2 else "" for i, a in enumerate(answers)],
    }
    for name, predictions in given.items():
        rows = [
            {"dataset": "d", "split": "s", "task": "vl", "score": exact_match.item_accuracy(p, [a])}
            for p, a in zip(predictions, answers, strict=True)
        ]
        correct = len([1 for p, a in zip(predictions, answers, strict=True) if p == a])
        found = aggregate.accuracies(rows)["d", "s", "accuracy"][0]
        yield Check(f"accuracy, {name}", found, correct / 200)


def _captions() -> Iterator[Check]:
    wanted = ("bleu_4", "rouge_l", "cider_d")
    references = {name: [text] for name, text in CAPTIONS.items()}
    shifted = dict(zip(CAPTIONS, ["x y z w"] * len(CAPTIONS), strict=True))
    perfect = captions.caption_scores(CAPTIONS, references, metrics=wanted, tokenizer="regex")
    foreign = captions.caption_scores(shifted, references, metrics=wanted, tokenizer="regex")
    for name, best in zip(wanted, (1.0, 1.0, 10.0), strict=True):
        yield Check(f"{name}, the reference itself", perfect.corpus.get(name), best, 1e-7)
        yield Check(f"{name}, no word in common", foreign.corpus.get(name), 0.0, 1e-7)


def _caption_file(path: Path | None) -> Iterator[Check]:
    if path is None:
        why = "evaluation.caption_reference is not set"
        yield Check("captions, published file", None, 0.0, reason=why)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        predictions = {str(i): row["caption_predicted"] for i, row in enumerate(rows)}
        columns = [c for c in rows[0] if c.startswith("caption_") and c != "caption_predicted"]
        references = {str(i): [row[c] for c in columns] for i, row in enumerate(rows)}
    except (OSError, KeyError, IndexError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"not the published file: {error!r}",
            where=path,
            key="evaluation.caption_reference",
            hint="use aac-metrics' data/example_1.csv, or remove the key",
        ) from None
    try:
        scores = captions.caption_scores(
            predictions, references, metrics=tuple(KNOWN_CAPTION_SCORES), tokenizer="ptb"
        )
    except DataError as error:  # without Java; the known scores need the PTB tokenizer
        for name, value in KNOWN_CAPTION_SCORES.items():
            yield Check(f"{name}, published file", None, value, reason=error.what)
        return
    for name, value in KNOWN_CAPTION_SCORES.items():
        yield Check(f"{name}, published file", scores.corpus[name], value, KNOWN_TO)


def _divergence() -> Iterator[Check]:
    for p, q in ((0.9, 0.5), (0.2, 0.7), (0.3, 0.3)):
        teacher, student = (
            np.log([[[a, 1 - a]]]) + shift for a, shift in ((p, 1.0), (q, -2.0))
        )  # logits: any constant may be added
        found, _ = retention.answer_kl(teacher, student, np.ones((1, 1), dtype=bool))
        expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
        yield Check(
            f"retention KL of ({p}, {1 - p:g}) from ({q}, {1 - q:g})", found, expected, 1e-12
        )


def _ranking() -> Iterator[Check]:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    labels = rng.random(400) < 0.4
    scores = np.round(rng.normal(size=400) + labels, 1)  # with ties
    statistic = mannwhitneyu(scores[labels], scores[~labels]).statistic
    expected = float(statistic) / (labels.sum() * (~labels).sum())
    yield Check("AUROC, against Mann-Whitney's U", classification.auroc(scores, labels), expected)
    confidence = np.repeat([0.65, 0.95], 100)  # middle of a bin, for fifteen and ten bins
    correct = np.concatenate([np.arange(100) < 80, np.arange(100) < 90])
    found = classification.expected_calibration_error(confidence, correct)
    yield Check("calibration error of two levels", found, (0.15 + 0.05) / 2)
