"""Near-duplicate texts across splits, by MinHash over words (datasketch).

Similar texts alone are not duplicates: hundreds of clips share "A man speaks". A near text counts
only if it has the same source media; near captions of other media are shown but not counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from safe.hearing.data.audit.base import EXAMPLES, Finding

if TYPE_CHECKING:
    import duckdb
    from datasketch import LeanMinHash, MinHashLSH

PERMUTATIONS, SEED = 64, 1
LEAST_WORDS = 10  # shorter texts repeat by chance, so only exact matches count
SLACK = 0.3  # the index proposes texts that are less similar than wanted, since it is not exact
_WORD = re.compile(r"\w+")


def words_of(text: str) -> frozenset[str]:
    """Return the lower-case words of a text, without order and punctuation."""
    return frozenset(_WORD.findall(text.lower()))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second) if first or second else 1.0


def sketch(texts: Sequence[frozenset[str]]) -> list[LeanMinHash]:
    """Return the MinHash of each text.

    The MinHash of a union is the elementwise minimum of the parts' MinHashes, so each word is
    hashed only once, and each text takes one minimum over its words.
    """
    import numpy as np
    from datasketch import LeanMinHash, MinHash

    if not texts:
        return []
    vocabulary = sorted(frozenset().union(*texts))
    place = {word: i for i, word in enumerate(vocabulary)}
    encoded = ([word.encode()] for word in vocabulary)
    hashed = list(MinHash.generator(encoded, num_perm=PERMUTATIONS, seed=SEED))
    of_word = np.stack([minhash.hashvalues for minhash in hashed])
    return [
        LeanMinHash(
            seed=SEED,
            hashvalues=of_word[[place[word] for word in words]].min(axis=0),
            scheme=hashed[0].scheme,
        )
        for words in texts
    ]


def _rows_of_one_source(base: duckdb.DuckDBPyConnection, threshold: float) -> list[Finding]:
    rows = base.execute(
        """
        SELECT a.dataset, a.split, b.split, a.question, b.question, a.source
        FROM samples a JOIN samples b ON a.source = b.source AND a.image_source = b.image_source
         AND a.dataset = b.dataset AND a.split < b.split
        WHERE a.task <> 'caption' AND lower(a.question) <> lower(b.question) ORDER BY ALL
        """
    )
    groups: dict[str, list[str]] = {}
    while batch := rows.fetchmany(4096):
        for dataset, one, two, first, second, source in batch:
            if jaccard(words_of(first), words_of(second)) >= threshold:
                groups.setdefault(f"{dataset}: {one}, {two}", []).append(
                    f"{first} ~ {second} on {source}"
                )
    return [
        Finding("near rows (same media, near question)", len(found), where, tuple(found[:EXAMPLES]))
        for where, found in groups.items()
    ]


def _captions_on_other_media(base: duckdb.DuckDBPyConnection, threshold: float) -> list[Finding]:
    """Find equal or similar captions in two splits; `declared` is set, so they do not count."""
    rows = base.execute(
        """
        SELECT dataset, split, text, any_value(source) FROM (
            SELECT dataset, split, source, lower(trim(unnest(answers))) AS text FROM samples
            WHERE task = 'caption'
        ) GROUP BY dataset, split, text ORDER BY dataset, split, text
        """
    ).fetchall()
    by_dataset: dict[str, dict[str, list[str]]] = {}
    for dataset, split, text, _ in rows:
        by_dataset.setdefault(dataset, {}).setdefault(split, []).append(text)
    found = []
    for dataset, splits in by_dataset.items():
        sketched = {split: _sketched(texts) for split, texts in splits.items()}
        names = sorted(splits, key=lambda s: len(splits[s]))
        for place, one in enumerate(names):
            for two in names[place + 1 :]:
                same = sorted(set(splits[one]) & set(splits[two]))
                near = _near_texts(sketched[one], sketched[two], threshold)
                where = f"{dataset}: {one}, {two}"
                reason = "captions of different clips may agree; shown, not counted"
                for kind, examples in (
                    ("same caption on other media", same),
                    ("near caption on other media", near),
                ):
                    if examples:
                        found.append(
                            Finding(kind, len(examples), where, tuple(examples[:EXAMPLES]), reason)
                        )
    return found


def _sketched(texts: Sequence[str]) -> list[tuple[str, frozenset[str], LeanMinHash]]:
    """Return (text, words, MinHash) of the texts with at least `LEAST_WORDS` words."""
    pairs = [(text, words_of(text)) for text in texts]
    pairs = [(text, words) for text, words in pairs if len(words) >= LEAST_WORDS]
    hashes = sketch([words for _, words in pairs])
    return [(text, words, own) for (text, words), own in zip(pairs, hashes, strict=True)]


def index_of(hashes: Sequence[LeanMinHash], threshold: float) -> MinHashLSH:
    """Return an index that proposes texts by their position in `hashes`."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=max(0.1, threshold - SLACK), num_perm=PERMUTATIONS)
    for place, minhash in enumerate(hashes):
        index.insert(place, minhash, check_duplication=False)
    return index


def _near_texts(
    few: Sequence[tuple[str, frozenset[str], LeanMinHash]],
    many: Sequence[tuple[str, frozenset[str], LeanMinHash]],
    threshold: float,
) -> list[str]:
    """Return "text ~ near text" for texts of `few` with a similar, unequal text in `many`."""
    # Index the smaller side; compare the candidates by their words.
    index = index_of([minhash for _, _, minhash in few], threshold)
    near: dict[int, str] = {}
    for text, words, minhash in many if few else ():
        for place in index.query(minhash):
            other, its_words, _ = few[place]
            if other != text and jaccard(words, its_words) >= threshold:
                near.setdefault(place, f"{other} ~ {text}")
    return [near[place] for place in sorted(near)]


def find_near_texts(base: duckdb.DuckDBPyConnection, threshold: float) -> list[Finding]:
    """Find near-duplicate rows (counted) and similar captions of other media (shown only)."""
    return [*_rows_of_one_source(base, threshold), *_captions_on_other_media(base, threshold)]
