"""Aggregate item scores. Every evaluated item counts, including unanswered ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Figures = dict[tuple[str, str, str], tuple[float, int]]


def accuracies(rows: Iterable[Mapping[str, Any]]) -> Figures:
    """Compute mean score and number of items by dataset, split and figure.

    Args:
        rows: have `dataset`, `split`, `task` and `score` in [0, 1]. An item that could not be
            answered has score 0 and must be included.

    Returns:
        (dataset, split, "accuracy" or "accuracy/TASK") -> (mean, n).
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        for figure in ("accuracy", f"accuracy/{row['task']}"):
            groups.setdefault((row["dataset"], row["split"], figure), []).append(row["score"])
    return {key: (float(np.mean(scores)), len(scores)) for key, scores in groups.items()}
