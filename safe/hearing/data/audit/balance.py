"""Class balance: ratio of the most to the least frequent class of every declared label field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safe.hearing.config import DatasetConfig

if TYPE_CHECKING:
    import duckdb

LEAST_ROWS = 50  # minimum rows of a question type; fewer are too noisy to judge


@dataclass(frozen=True, slots=True)
class Balance:
    """Counts of one label field of a dataset, within one question type.

    Attributes:
        ratio: most to least frequent class; for a single class, its row count.
        intended: the reason for the imbalance given in the dataset's config, or None.
        judged: whether the ratio counts; if not, `why_not` gives the reason.
    """

    dataset: str
    field: str
    question_type: str
    rows: int
    counts: dict[str, int]
    ratio: float
    intended: str | None
    judged: bool
    why_not: str = ""


def class_balance(
    base: duckdb.DuckDBPyConnection, datasets: Sequence[DatasetConfig]
) -> list[Balance]:
    """Compute the balance of every declared field.

    The field `answer` is counted within each question type. Other fields are those of
    `Sample.labels`, counted over distinct media. The ratio of a question type with a single answer
    is its row count.
    """
    found = []
    for config in datasets:
        for field in config.label_fields:
            rows = _answers(base, config) if field == "answer" else _labels(base, config, field)
            groups: dict[str, dict[str, int]] = {}
            for kind, label, count in rows:
                groups.setdefault(kind, {})[label] = count
            for kind, counts in sorted(groups.items()):
                found.append(_balance(config, field, kind, counts))
    return found


def _balance(config: DatasetConfig, field: str, kind: str, counts: dict[str, int]) -> Balance:
    total = sum(counts.values())
    least = min(counts.values()) if len(counts) > 1 else 1
    intended = config.intended_imbalance.get(field)
    why_not = ""
    if intended is not None:
        why_not = "declared intended"
    elif total < LEAST_ROWS:
        why_not = f"fewer than {LEAST_ROWS} rows"
    return Balance(
        dataset=config.name,
        field=field,
        question_type=kind,
        rows=total,
        counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        ratio=max(counts.values()) / least,
        intended=intended,
        judged=not why_not,
        why_not=why_not,
    )


def _answers(base: duckdb.DuckDBPyConnection, config: DatasetConfig) -> list[tuple[str, str, int]]:
    return base.execute(
        """
        SELECT question_type, lower(answer), count(*) FROM samples
        WHERE dataset = ? AND task <> 'caption' GROUP BY ALL
        """,
        [config.name],
    ).fetchall()


def _labels(
    base: duckdb.DuckDBPyConnection, config: DatasetConfig, field: str
) -> list[tuple[str, str, int]]:
    return base.execute(
        """
        SELECT '', label, count(*) FROM (
            SELECT DISTINCT source, image_source, labels[?] AS label FROM samples
            WHERE dataset = ?
        ) WHERE label IS NOT NULL GROUP BY ALL
        """,
        [field, config.name],
    ).fetchall()
