"""Helpers shared by experiments for metrics, tables and plots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from safe.files import atomic
from safe.gates.recompute import included
from safe.gates.schema import Derivation, Interval, Metric
from safe.gates.statistics import paired_difference, wilson
from safe.hearing.context import Context
from safe.hearing.evaluation.base_answers import differing, read_base_answers
from safe.pipeline.job_results import write_rows

Table = Sequence[Mapping[str, Any]]
Where = Mapping[str, Sequence[str | bool]]  # column -> values of the rows that are included


class MetricBuilder:
    """Builds the metrics that an experiment declares in its METRICS."""

    def __init__(self, declared: Mapping[str, Mapping[str, Any]]) -> None:
        self.declared = declared

    def measured(
        self,
        name: str,
        value: float,
        n: int,
        *,
        items: int | None = None,
        ci: Interval | None = None,
        per_item: str | None = None,
        derivation: Derivation | None = None,
        measured_on: Mapping[str, str] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Metric:
        """Return a metric that was measured on `n` samples.

        Args:
            items: items behind each sample, such as the questions of a seed.
            derivation: how the value follows from the table `per_item`.
            measured_on: selection -> candidate, where the number is of a selected candidate.
        """
        return Metric(
            name=name,
            value=value,
            unit=str(self.declared[name]["unit"]),
            n=n,
            items=items,
            provenance="measured",
            ci=ci,
            per_item=per_item,
            derivation=derivation,
            measured_on=dict(measured_on or {}),
            detail=dict(detail or {}),
        )

    def missing(self, name: str, why: str, n: int = 0) -> Metric:
        """Return a metric that could not be measured, with the reason."""
        return Metric(
            name=name,
            value=None,
            unit=str(self.declared[name]["unit"]),
            n=n,
            provenance="unavailable",
            reason=why,
        )

    def difference(
        self,
        name: str,
        ours: Sequence[bool],
        theirs: Sequence[bool],
        sources: Sequence[str],
        *,
        seed: int,
        identical: bool = False,
        per_item: str | None = None,
        derivation: Derivation | None = None,
        measured_on: Mapping[str, str] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Metric:
        """Return mean(ours - theirs) of correct answers to the same items, resampled by source.

        Args:
            identical: the outputs were compared and are bitwise equal.
        """
        left, right = [float(o) for o in ours], [float(t) for t in theirs]
        try:
            interval = paired_difference(
                left, right, seed=seed, clusters=sources, identical_outputs=identical
            )
        except ValueError as error:
            return self.missing(name, str(error), len(left))
        shares = {"accuracies": [sum(left) / len(left), sum(right) / len(right)]}
        return self.measured(
            name,
            (sum(left) - sum(right)) / len(left),
            len(left),
            ci=interval,
            per_item=per_item,
            derivation=derivation,
            measured_on=measured_on,
            detail={**shares, **(detail or {})},
        )

    def base_differs(self, path: Path, given: Iterable[tuple[str, Sequence[int]]]) -> Metric:
        """Return the share of answers of the base that differ from those recorded in `path`.

        Args:
            given: sample id and generated tokens of each answer.

        Raises:
            EvidenceError: the table at `path` is missing or cannot be read.
        """
        ids, n = differing(read_base_answers(path), given)
        if n == 0:
            return self.missing("base_differs", "no question was asked in both experiments")
        return self.measured("base_differs", len(ids) / n, n, detail={"differing": ids[:20]})

    # The following three can be recomputed by the judge from the table that the rows came from.

    def table_difference(
        self,
        name: str,
        table: Table,
        columns: tuple[str, str],
        *,
        per_item: str,
        where: Where | None = None,
        **options: Any,
    ) -> Metric:
        """Return `difference` of two columns of a table, over the rows that match `where`."""
        derived = _derivation("difference", columns, where)
        rows = included(table, derived)
        return self.difference(
            name,
            [row[columns[0]] for row in rows],
            [row[columns[1]] for row in rows],
            [row["source"] for row in rows],
            per_item=per_item,
            derivation=derived,
            **options,
        )

    def table_share(
        self,
        name: str,
        table: Table,
        column: str,
        *,
        per_item: str,
        where: Where | None = None,
        negated: bool = False,
        **options: Any,
    ) -> Metric:
        """Return the share of true rows, with Wilson's interval; `negated`: of false ones."""
        derived = _derivation("mean", (column,), where, negated)
        rows = included(table, derived)
        if not rows:
            return self.missing(name, "there is no such item")
        count = sum(row[column] != negated for row in rows)
        return self.measured(
            name,
            count / len(rows),
            len(rows),
            ci=wilson(count, len(rows)),
            per_item=per_item,
            derivation=derived,
            **options,
        )

    def table_count(
        self,
        name: str,
        table: Table,
        column: str,
        *,
        per_item: str,
        where: Where | None = None,
        negated: bool = False,
        **options: Any,
    ) -> Metric:
        """Return the number of true rows; `negated`: of false ones."""
        derived = _derivation("count", (column,), where, negated)
        rows = included(table, derived)
        return self.measured(
            name,
            sum(row[column] != negated for row in rows),
            len(rows),
            per_item=per_item,
            derivation=derived,
            **options,
        )


def _derivation(
    statistic: Literal["mean", "difference", "count"],
    columns: Sequence[str],
    where: Where | None,
    negated: bool = False,
) -> Derivation:
    return Derivation(
        statistic=statistic,
        columns=list(columns),
        where={name: list(values) for name, values in (where or {}).items()},
        negated=negated,
    )


def worst(found: Mapping[str, Metric]) -> Metric:
    """Return the metric with the highest upper bound, with all upper bounds in its detail."""
    for metric in found.values():
        if metric.provenance != "measured":
            return metric
    bounds = {name: m.ci.high for name, m in found.items() if m.ci is not None}
    name = max(bounds, key=lambda n: bounds[n])
    highest = found[name]
    detail = dict(highest.detail) | {"worst": name, "upper_bounds": bounds}
    return highest.model_copy(update={"detail": detail})


def write_table(context: Context, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a Parquet table to the experiment's folder and list it as evidence."""
    write_rows(context.folder / name, rows)
    context.evidence.append(name)


def figure(width: float, height: float, columns: int = 1) -> Any:
    """Return (figure, axes) of matplotlib, using a backend without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(width, height), layout="constrained")


def save_figure(context: Context, drawn: Any, name: str) -> None:
    """Write plots/NAME.png to the experiment's folder and close the figure."""
    from matplotlib import pyplot

    path = f"plots/{name}.png"
    with atomic(context.folder / path) as temporary:
        drawn.savefig(temporary, dpi=120, format="png")
    pyplot.close(drawn)
    context.plots.append(path)
