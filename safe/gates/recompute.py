"""Recompute metrics from the per-item tables behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from safe.errors import EvidenceError
from safe.gates.formatting import number
from safe.gates.schema import Derivation, Measurement

Row = Mapping[str, Any]
TOLERANCE = 1e-9  # relative and absolute; another order of summation


def included(table: Iterable[Row], derivation: Derivation) -> list[Row]:
    """Return the rows that a derivation includes.

    Raises:
        KeyError: a row has no such column.
    """
    return [r for r in table if all(r[name] in v for name, v in derivation.where.items())]


def recompute(path: Path, derivation: Derivation) -> tuple[float, int]:
    """Return (value, number of rows) of a metric, from the table at `path`.

    Raises:
        EvidenceError: the table cannot be read, or lacks these columns or rows.
    """
    import pyarrow.parquet as pq  # slow to import, and few commands need it

    names = dict.fromkeys([*derivation.columns, *derivation.where])
    try:
        table = pq.read_table(path, columns=list(names)).to_pylist()
        return _statistic(included(table, derivation), derivation), len(table)
    except (OSError, ValueError, TypeError, KeyError) as error:  # ArrowInvalid is a ValueError
        raise EvidenceError(
            f"a metric cannot be recomputed from this table: {error!r}",
            where=path,
            hint="measure the experiment again",
        ) from None


def _statistic(rows: Sequence[Row], derivation: Derivation) -> float:
    first, *second = (
        [float(not r[name] if derivation.negated else r[name]) for r in rows]
        for name in derivation.columns
    )
    if derivation.statistic == "count":
        return sum(first)
    if derivation.statistic == "sd":
        return stdev(first)
    return fmean(first) - (fmean(second[0]) if second else 0.0)


def contradiction(folder: Path, measurement: Measurement) -> str | None:
    """Return how a metric differs from its table, or None.

    Args:
        folder: the experiment's folder.

    Raises:
        EvidenceError: a table cannot be read.
    """
    for metric in measurement.metrics:
        if metric.derivation is not None and metric.per_item is not None:
            path = folder / metric.per_item
            value, rows = recompute(path, metric.derivation)
            if metric.value is None or not math.isclose(
                value, metric.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE
            ):
                return f"{metric.name} is {number(metric.value)}, but {path.name} gives {value:.6g}"
            if metric.n > rows:
                return f"{metric.name} has n = {metric.n:,}, but {path.name} has {rows:,} rows"
    return None
