"""Caption metrics of the COCO evaluation, by pycocoevalcap 1.2.

BLEU, ROUGE-L and CIDEr-D: see `caption_overlap`; METEOR and SPICE: see `caption_java`. SPIDEr is
the mean of CIDEr-D and SPICE (Liu et al. 2017). A metric that cannot run is reported as unavailable
with the reason, not as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from safe.errors import ConfigError, DataError
from safe.hearing.evaluation import caption_java, caption_overlap, caption_tokens
from safe.hearing.evaluation.caption_overlap import BLEU, References, Scores
from safe.hearing.evaluation.java import Unavailable

METRICS = (*BLEU, "rouge_l", "cider_d", "meteor", "spice", "spider")
TOKENIZERS = ("auto", "ptb", "regex")
LONGEST_REFERENCE = 10_000  # words


@dataclass(frozen=True)
class CaptionScores:
    """Requested metrics; each is in `corpus` and `items`, or in `unavailable`.

    Attributes:
        ids: item ids, sorted.
        corpus: metric -> value over all items, in [0, 1]; CIDEr-D in [0, 10], SPIDEr in [0, 5.5].
        items: metric -> (N,) float64 in the order of `ids`. Their mean is the corpus value, except
            for BLEU and METEOR, which sum counts over items before dividing.
        unavailable: metric -> reason and fix.
        tokenizer: tokenizer that was used; values of the two may differ slightly.
        tokenizer_note: why it is not the official one, or empty.
    """

    ids: tuple[str, ...]
    corpus: dict[str, float]
    items: dict[str, np.ndarray]
    unavailable: dict[str, str]
    tokenizer: Literal["ptb", "regex"]
    tokenizer_note: str = ""


def caption_scores(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    metrics: Sequence[str] = METRICS,
    tokenizer: str = "auto",
) -> CaptionScores:
    """Score one caption per item against its references.

    Args:
        predictions: id -> caption; an empty caption is scored as well.
        references: id -> one or more captions, with the same ids.
        metrics: a subset of `METRICS`.
        tokenizer: `ptb` is the official one and needs Java; `regex` applies its rules (2 of the
            57,188 captions of AudioCaps differ); `auto` uses `regex` if `ptb` cannot run.

    Raises:
        ConfigError: a metric or the tokenizer is unknown.
        DataError: ids differ, an item has no references, a caption is not a string, a reference has
            no word or more than 10,000, or the tokenizer is `ptb` and cannot run.
    """
    check_metrics(metrics)
    if tokenizer not in TOKENIZERS:
        raise ConfigError(
            f"unknown tokenizer {tokenizer!r}", key="tokenizer", hint=f"use {', '.join(TOKENIZERS)}"
        )
    _check(predictions, references)
    ids = tuple(sorted(predictions))  # results do not depend on the order of a file
    used, note, tokens = _tokenized(
        [predictions[name] for name in ids],
        [text for name in ids for text in references[name]],
        tokenizer,
    )
    candidates = dict(zip(ids, tokens, strict=False))
    rest = iter(tokens[len(ids) :])
    wanted = {name: [next(rest) for _ in references[name]] for name in ids}
    _check_words(wanted)
    scorer = _Scorer(candidates, wanted)
    corpus, items, unavailable = {}, {}, {}
    for metric in dict.fromkeys(metrics):
        try:
            value, each = scorer.score(metric)
        except Unavailable as error:
            unavailable[metric] = str(error)
        else:
            corpus[metric], items[metric] = value, each
    return CaptionScores(ids, corpus, items, unavailable, used, note)


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise ConfigError if a metric is unknown or there is none."""
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown or not metrics:
        raise ConfigError(
            f"unknown metric {unknown[0][:60]!r}" if unknown else "there is no metric",
            key="metrics",
            hint=f"use some of {', '.join(METRICS)}",
        )


def _check(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    for name, other, text in (
        (predictions, references, "no references"),
        (references, predictions, "no predicted caption"),
    ):
        if missing := sorted(name.keys() - other.keys()):
            raise DataError(
                f"{len(missing)} items have {text}, e.g. {missing[0][:60]!r}",
                hint="use the same ids in predictions and references",
            )
    if not predictions:
        raise DataError("there is no caption to score", hint="pass at least one item")
    for item, given in references.items():
        texts = [predictions[item]] if isinstance(given, str) else [predictions[item], *given]
        if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
            raise DataError(
                "an item must have one caption and a list of at least one reference, all strings",
                key=item[:60],
                hint="correct or remove the item",
            )


def _check_words(references: References) -> None:
    for name, given in references.items():
        words = [len(text.split()) for text in given]
        if max(words) == 0 or max(words) > LONGEST_REFERENCE:
            raise DataError(
                "no reference contains a word"
                if max(words) == 0
                else f"a reference has {max(words)} words; the limit is {LONGEST_REFERENCE}",
                key=name[:60],
                hint="correct the item's references or remove the item",
            )


def _tokenized(
    predictions: list[str], references: list[str], tokenizer: str
) -> tuple[Literal["ptb", "regex"], str, list[str]]:
    note = "requested" if tokenizer == "regex" else ""
    if tokenizer != "regex":
        try:
            return "ptb", "", caption_tokens.ptb([*predictions, *references])
        except Unavailable as error:
            if tokenizer == "ptb":
                raise DataError(
                    f"the PTB tokenizer cannot run: {error}",
                    key="tokenizer",
                    hint="fix this, or use the tokenizer `regex`",
                ) from None
            note = str(error)
    return "regex", note, caption_tokens.regex([*predictions, *references])


class _Scorer:
    """Compute metrics of tokenized captions and cache results that several metrics share."""

    def __init__(self, candidates: Mapping[str, str], references: References) -> None:
        self.captions = candidates, references
        self.found: dict[str, Scores | Unavailable] = {}

    def score(self, metric: str) -> Scores:
        if metric not in self.found:
            try:
                self.found |= self._run(metric)
            except Unavailable as error:
                self.found[metric] = error
        scores = self.found[metric]
        if isinstance(scores, Unavailable):
            raise scores
        return scores

    def _run(self, metric: str) -> dict[str, Scores]:
        if metric in BLEU:
            return caption_overlap.bleu(*self.captions)
        if metric == "spider":
            each = (self.score("spice")[1] + self.score("cider_d")[1]) / 2
            return {metric: (float(each.mean()), each)}
        return {metric: _BY_NAME[metric](*self.captions)}


_BY_NAME = {
    "rouge_l": caption_overlap.rouge,
    "cider_d": caption_overlap.cider_d,
    "meteor": caption_java.meteor,
    "spice": caption_java.spice,
}
