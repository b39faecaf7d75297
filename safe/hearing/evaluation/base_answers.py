"""Compare the base's answers in two experiments that generate them with different code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from safe.errors import EvidenceError


def read_base_answers(path: Path) -> dict[str, list[int]]:
    """Return sample id -> generated tokens of the base.

    Args:
        path: table with the columns `id` and `base_tokens`.

    Raises:
        EvidenceError: the table is missing or cannot be read.
    """
    try:
        columns = pq.read_table(path, columns=["id", "base_tokens"]).to_pydict()
    except (OSError, ValueError, KeyError) as error:  # ArrowInvalid is a ValueError
        raise EvidenceError(
            f"the base's answers cannot be read: {error!r}",
            where=path,
            hint="measure 04 again",
        ) from None
    return dict(zip(columns["id"], columns["base_tokens"], strict=True))


def differing(
    recorded: Mapping[str, Sequence[int]], given: Iterable[tuple[str, Sequence[int]]]
) -> tuple[list[str], int]:
    """Return (ids that were answered differently, number of ids in both).

    Generation may have stopped at different lengths, so answers are compared up to the length of
    the shorter one.
    """
    both = [(i, recorded[i], tokens) for i, tokens in given if i in recorded]
    return [i for i, one, two in both if not _same(one, two)], len(both)


def _same(one: Sequence[int], two: Sequence[int]) -> bool:
    shorter = min(len(one), len(two))
    if shorter == 0:
        return len(one) == len(two)
    return list(one[:shorter]) == list(two[:shorter])
