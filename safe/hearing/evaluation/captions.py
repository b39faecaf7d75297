"""Caption metrics as the COCO evaluation has them, by pycocoevalcap 1.2.

BLEU, ROUGE-L and CIDEr-D: see `caption_overlap`; METEOR and SPICE: see `caption_java`. SPIDEr is
the mean of CIDEr-D and SPICE (Liu et al. 2017). A metric that cannot run here is unavailable, with
the reason; it is never 0.
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
    """The metrics that were asked for, each in `corpus` and `items` or in `unavailable`.

    Attributes:
        ids: of the items, sorted.
        corpus: over all items. In [0, 1]; CIDEr-D in [0, 10], SPIDEr in [0, 5.5].
        items: (N,) float64 in the order of `ids`. Their mean is the corpus figure, but for BLEU
            and METEOR, which sum what they count before they divide.
        unavailable: metric -> why, and what would fix it.
        tokenizer: which one made the tokens; figures of the two may differ slightly.
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
    """Score one caption an item against its references.

    Args:
        predictions: id -> caption; an empty one is scored as it is given.
        references: id -> one caption or more, of the same ids.
        metrics: some of `METRICS`.
        tokenizer: `ptb` is the official one and needs Java; `regex` follows its rules (2 of the
            57,188 captions of AudioCaps come out otherwise); `auto` takes `regex` where `ptb`
            cannot run.

    Raises:
        ConfigError: an unknown metric or tokenizer.
        DataError: ids that differ, an item without references, what is no string, a reference of
            more than 10,000 words; or `ptb` is wanted and cannot run.
    """
    check_metrics(metrics)
    if tokenizer not in TOKENIZERS:
        raise ConfigError(
            f"unknown tokenizer {tokenizer!r}", key="tokenizer", hint=f"use {', '.join(TOKENIZERS)}"
        )
    _check(predictions, references)
    ids = tuple(sorted(predictions))  # so that the order of a file changes no last bit
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
    """Raise ConfigError where one is not known."""
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown or not metrics:
        raise ConfigError(
            f"unknown metric {unknown[0][:60]!r}" if unknown else "no metric is named",
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
                f"{len(missing)} items have {text}, such as {missing[0][:60]!r}",
                hint="give every item both, by the same id",
            )
    if not predictions:
        raise DataError("there is no caption to score", hint="give at least one item")
    for item, given in references.items():
        texts = [predictions[item]] if isinstance(given, str) else [predictions[item], *given]
        if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
            raise DataError(
                "one caption and a list of at least one reference, all of them strings, are needed",
                key=item[:60],
                hint="correct that item or leave it out",
            )


def _check_words(references: References) -> None:
    for name, given in references.items():
        words = [len(text.split()) for text in given]
        if max(words) == 0 or max(words) > LONGEST_REFERENCE:
            raise DataError(
                "no reference has a word in it"
                if max(words) == 0
                else f"a reference has {max(words)} words; at most {LONGEST_REFERENCE} are scored",
                key=name[:60],
                hint="correct the item's references or leave it out",
            )


def _tokenized(
    predictions: list[str], references: list[str], tokenizer: str
) -> tuple[Literal["ptb", "regex"], str, list[str]]:
    note = "asked for" if tokenizer == "regex" else ""
    if tokenizer != "regex":
        try:
            return "ptb", "", caption_tokens.ptb([*predictions, *references])
        except Unavailable as error:
            if tokenizer == "ptb":
                raise DataError(
                    f"the PTB tokenizer cannot run: {error}",
                    key="tokenizer",
                    hint="fix that, or use the tokenizer `regex`",
                ) from None
            note = str(error)
    return "regex", note, caption_tokens.regex([*predictions, *references])


class _Scorer:
    """Metrics of one set of tokenized captions; what two of them share is computed once."""

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
