"""Caption metrics based on common words and n-grams: BLEU, ROUGE-L and CIDEr-D.

BLEU (Papineni et al. 2002) and CIDEr-D (Vedantam et al. 2015) are computed by pycocoevalcap 1.2,
ROUGE-L (Lin 2004) by its formula with a faster search. Captions are tokens joined by spaces. Each
metric returns its value over all items and per item, (N,) float64, in the order of `candidates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from safe.hearing.evaluation.java import Unavailable

References = Mapping[str, Sequence[str]]
Scores = tuple[float, np.ndarray]
BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
ROUGE_BETA = 1.2  # weight of recall, as in pycocoevalcap
# CIDEr-D's penalty exp(-d^2 / (2 * 6^2)) for a difference of d words is 0 in float64 from 232 on.
FAR_TOO_LONG = 300


def bleu(candidates: Mapping[str, str], references: References) -> dict[str, Scores]:
    """Compute BLEU-1 to BLEU-4, in [0, 1], with the closest reference length."""
    from pycocoevalcap.bleu.bleu import Bleu

    overall, each = Bleu(4).compute_score(*_as_coco(candidates, references), verbose=0)
    return {
        name: (float(overall[i]), np.array(each[i], dtype=np.float64))
        for i, name in enumerate(BLEU)
    }


def cider_d(candidates: Mapping[str, str], references: References) -> Scores:
    """Compute CIDEr-D, in [0, 10].

    Raises:
        Unavailable: there are fewer than two items.
    """
    from pycocoevalcap.cider.cider import Cider

    if len(candidates) < 2:
        raise Unavailable(
            "CIDEr-D weights words by inverse item frequency: score two items or more at once"
        )
    overall, each = Cider().compute_score(*_as_coco(candidates, references))
    return float(overall), np.asarray(each, dtype=np.float64)


def rouge(candidates: Mapping[str, str], references: References) -> Scores:
    """Compute the mean of `rouge_l`, in [0, 1]."""
    each = np.array([rouge_l(text, references[name]) for name, text in candidates.items()])
    return float(each.mean()), each


def _as_coco(
    candidates: Mapping[str, str], references: References
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return references and candidates in pycocoevalcap's format."""
    return (
        {name: list(references[name]) for name in candidates},
        {name: [bounded(text, references[name])] for name, text in candidates.items()},
    )


def bounded(candidate: str, references: Sequence[str]) -> str:
    """Limit the number of distinct words of a far too long caption; its length stays the same.

    Words that are in no reference are replaced by one placeholder. BLEU depends only on common
    words and lengths, and CIDEr-D is 0 at such a length, so neither changes. This bounds the memory
    for the n-grams of a caption of millions of words.
    """
    longest = max(reference.count(" ") for reference in references) + 1
    if candidate.count(" ") < longest + FAR_TOO_LONG:
        return candidate
    known = {word for reference in references for word in reference.split()}
    return " ".join(word if word in known else "\0" for word in candidate.split())


def rouge_l(candidate: str, references: Sequence[str]) -> float:
    """Compute the F-score of the longest common subsequence, from best precision and best recall.

    Same as pycocoevalcap, except that a caption without words scores 0.
    """
    candidate_words = candidate.split()
    precision, recall = 0.0, 0.0
    for reference in references:
        reference_words = reference.split()
        if candidate_words and reference_words:
            common = _common_subsequence(candidate_words, reference_words)
            precision = max(precision, common / len(candidate_words))
            recall = max(recall, common / len(reference_words))
    if not precision:
        return 0.0
    weight = ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Bit-parallel length of the longest one: Hyyrö 2004, doi.org/10.1080/00207160410001715302."""
    at: dict[str, int] = {}
    for i, word in enumerate(second):
        at[word] = at.get(word, 0) | 1 << i
    everywhere = (1 << len(second)) - 1
    free = everywhere
    for word in first:
        if matches := free & at.get(word, 0):
            free = ((free + matches) | (free - matches)) & everywhere
    return len(second) - free.bit_count()
