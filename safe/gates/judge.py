"""The judge: applies criteria to a measurement. Pure, deterministic, fails closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from safe.errors import ConfigError, EvidenceError
from safe.gates.bounds import margin_of, satisfies
from safe.gates.criteria import criteria_digest
from safe.gates.formatting import number, statement
from safe.gates.schema import (
    CriteriaFile,
    Criterion,
    Decision,
    Interval,
    Judged,
    Measurement,
    Metric,
    Selected,
    Threshold,
    Verdict,
    Waiver,
    decision_digest,
    evidence_digest,
)
from safe.gates.selection import derived_metric, select
from safe.gates.waivers import invalid_reason, relevant, waivers_digest

MIN_LEVEL = 0.95  # the plan's bounds apply to 95 % intervals


def _deciding_value(criterion: Criterion, metric: Metric) -> float | None:
    if criterion.decide_on == "ci_low":
        return None if metric.ci is None else metric.ci.low
    if criterion.decide_on == "ci_high":
        return None if metric.ci is None else metric.ci.high
    return metric.value


def _decide(
    criterion: Criterion,
    threshold: Threshold,
    found: list[Metric],
    selections: Mapping[str, Selected],
) -> tuple[Verdict, str, bool]:
    """Return (verdict, reason, waivable); only a measured shortfall is waivable."""
    if len(found) != 1:
        why = "it was not measured" if not found else "it was measured more than once"
        return "error", why, False
    metric = found[0]
    if metric.provenance == "unavailable":
        return "unavailable", metric.reason or "no reason was given", False
    other = _other_candidate(metric, selections)
    if other is not None:
        return "unavailable", other, False
    if metric.unit != criterion.unit:
        why = f"it was measured in {metric.unit!r}, but the criterion uses {criterion.unit!r}"
        return "error", why, False
    if metric.value is None:
        return "error", metric.reason or "the value is not a finite number", False
    if metric.provenance != "measured":
        return "unavailable", f"the value is {metric.provenance}, not measured", False
    deciding = _deciding_value(criterion, metric)
    if deciding is None:
        return "error", "the criterion needs an interval, but the metric has none", False
    if criterion.decide_on.startswith("ci_") and metric.ci and metric.ci.level < MIN_LEVEL:
        why = f"the interval has level {metric.ci.level:g}, but {MIN_LEVEL:g} is required"
        return "error", why, False
    if metric.ci and not _contains(metric.ci, metric.value):
        return "error", "the value is outside its own interval", False
    too_few = few_items(criterion, metric.items)
    if too_few is not None:
        return "inconclusive", too_few, False
    if metric.n < criterion.min_n:
        why = f"n = {metric.n:,} is too small to decide; at least {criterion.min_n:,} are needed"
        return "inconclusive", why, False
    if not satisfies(metric.value, criterion.op, threshold):
        shortfall = number(abs(margin_of(metric.value, criterion.op, threshold)))
        return "fail", f"the value misses the bound by {shortfall}", True
    if not satisfies(deciding, criterion.op, threshold):
        return "inconclusive", "the value passes, but its interval extends past the bound", True
    margin = number(margin_of(deciding, criterion.op, threshold))
    return "pass", f"it passes with a margin of {margin}" if margin != "0" else "it passes", False


def _contains(interval: Interval, value: float) -> bool:
    slack = 1e-9 * (1 + abs(value))  # rounding
    return interval.low - slack <= value <= interval.high + slack


def few_items(criterion: Criterion, items: int | None) -> str | None:
    """Reason why too few items are behind each sample of a metric, or None."""
    needed = criterion.min_items
    if needed is None or (items is not None and items >= needed):
        return None
    known = "an unknown number of items" if items is None else f"{items:,} items"
    return f"each of its samples is measured on {known}; at least {needed:,} are needed"


def _other_candidate(metric: Metric, selections: Mapping[str, Selected]) -> str | None:
    """Reason why the measured candidate is not the one that the criteria select, or None."""
    for name, candidate in metric.measured_on.items():
        found = selections.get(name)
        if found is None:
            return f"it was measured on {candidate}, but the criteria file has no selection {name}"
        if found.selected != candidate:
            selected = found.selected or "no candidate"
            return (
                f"it was measured on {candidate}, but the criteria now select {selected} as "
                f"{name}; measure the experiment again"
            )
    return None


def _judge_one(
    criterion: Criterion,
    metrics: Iterable[Metric],
    selections: Mapping[str, Selected],
    waivers: list[Waiver],
    scale: str,
    evidence: str,
    today: date,
) -> Judged:
    threshold = criterion.threshold_at(scale)
    found = [m for m in metrics if m.name == criterion.metric]
    verdict, why, waivable = _decide(criterion, threshold, found, selections)
    metric = found[0] if len(found) == 1 else None
    deciding = None if metric is None else _deciding_value(criterion, metric)
    comparable = deciding is not None and metric is not None and metric.unit == criterion.unit
    draft = Judged(
        id=criterion.id,
        claim=criterion.claim,
        metric=criterion.metric,
        value=None if metric is None else metric.value,
        unit=criterion.unit if metric is None else metric.unit,
        n=0 if metric is None else metric.n,
        items=None if metric is None else metric.items,
        ci=None if metric is None else metric.ci,
        provenance="unavailable" if metric is None else metric.provenance,
        op=criterion.op,
        threshold=threshold,
        scaled=criterion.scaled_at(scale),
        severity=criterion.severity,
        decide_on=criterion.decide_on,
        verdict=verdict,
        margin=(
            margin_of(deciding, criterion.op, threshold)
            if comparable and deciding is not None
            else None
        ),
        rationale=criterion.rationale,
        reason="",
        evidence=["measurement.json", *([metric.per_item] if metric and metric.per_item else [])],
    )
    waiver, note = None, ""
    if verdict != "pass":
        waiver, note = _find_waiver(criterion, waivers, evidence, today, waivable)
        if waiver and waiver["state"] == "applied":
            verdict = "waived"
    reason = f"{statement(draft)}: {why}{note}."
    return draft.model_copy(update={"verdict": verdict, "waiver": waiver, "reason": reason})


def _find_waiver(
    criterion: Criterion, waivers: list[Waiver], evidence: str, today: date, waivable: bool
) -> tuple[dict[str, str] | None, str]:
    """Return (record, note) of the criterion's waiver; a valid waiver has priority."""
    chosen: tuple[dict[str, str] | None, str] = (None, "")
    for waiver in waivers:
        if waiver.criterion != criterion.id:
            continue
        record = waiver.model_dump(mode="json")
        invalid = invalid_reason(waiver, evidence, today)
        if invalid is None and not waivable:
            invalid = "a waiver accepts a measured shortfall, not a missing measurement"
        if invalid is None:
            return {**record, "state": "applied"}, f"; waived by {waiver.author}"
        note = f"; the waiver by {waiver.author} is invalid: {invalid}"
        chosen = {**record, "state": invalid}, note
    return chosen


def _metrics_for(
    criterion: Criterion,
    measurement: Measurement,
    criteria: CriteriaFile,
    selections: Mapping[str, Selected],
) -> list[Metric]:
    """Return the measured metrics and, for a criterion on a selection, the derived metric."""
    rules = {rule.name: rule for rule in criteria.selections}
    if criterion.metric not in selections:
        return measurement.metrics
    rule = rules[criterion.metric]
    table = measurement.candidates[rule.candidates]
    derived = derived_metric(rule, table, selections[rule.name], criterion)
    return [*measurement.metrics, derived]


def judge(
    measurement: Measurement,
    criteria: CriteriaFile,
    waivers: Iterable[Waiver] = (),
    scale: str = "full",
    *,
    today: date | None = None,
) -> Decision:
    """Judge a measurement by criteria.

    The verdict is GO only if every required criterion passes or is waived. A metric that is
    missing, not finite, not `measured`, undecided or has too few samples does not pass. The result
    is deterministic.

    Args:
        scale: the run's `scale`; selects the scaled thresholds.
        today: date for the expiry of waivers; by default the current date.

    Raises:
        EvidenceError: the measurement belongs to another experiment.
        ConfigError: a waiver names a criterion that does not exist.
    """
    if measurement.experiment != criteria.experiment:
        raise EvidenceError(
            f"a measurement of {measurement.experiment!r} cannot be judged by the criteria of "
            f"{criteria.experiment!r}",
            hint="measure again; the file may have been moved",
        )
    applicable = relevant(waivers, measurement.run, measurement.experiment)
    ids = {c.id for c in criteria.criteria}
    for waiver in applicable:
        if waiver.criterion not in ids:
            raise ConfigError(
                f"a waiver by {waiver.author} names {waiver.criterion!r}, which does not exist",
                hint=f"criteria of {criteria.experiment}: {', '.join(sorted(ids))}",
            )
    evidence, day = evidence_digest(measurement), today or date.today()
    selections = {
        rule.name: select(rule, measurement.candidates[rule.candidates].rows, scale)
        for rule in criteria.selections
        if rule.candidates in measurement.candidates
    }
    judged = [
        _judge_one(
            c, _metrics_for(c, measurement, criteria, selections), selections, applicable, scale,
            evidence, day,
        )
        for c in criteria.criteria
    ]  # fmt: skip
    required = [j for j in judged if j.severity == "required"]
    go = bool(required) and all(j.verdict in ("pass", "waived") for j in required)
    now = criteria_digest(criteria)
    decision = Decision(
        experiment=measurement.experiment,
        run=measurement.run,
        verdict="GO" if go else "NO-GO",
        criteria=judged,
        selections=selections,
        upstream=measurement.upstream,
        digests={"evidence": evidence, "criteria": now, "waivers": waivers_digest(applicable)},
        environment=measurement.environment,
        criteria_changed_after_measuring=measurement.digests.get("criteria") != now,
    )
    digests = {**decision.digests, "decision": decision_digest(decision)}
    return decision.model_copy(update={"digests": digests})


def failing(decision: Decision) -> list[Judged]:
    """Return the required criteria that neither pass nor are waived."""
    return [
        j
        for j in decision.criteria
        if j.severity == "required" and j.verdict not in ("pass", "waived")
    ]
