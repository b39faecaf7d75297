"""The judge: a measurement held against criteria. Pure, deterministic, fails closed."""

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

MIN_LEVEL = 0.95  # the plan's bounds are those of 95 % intervals


def _deciding_value(criterion: Criterion, metric: Metric) -> float | None:
    if criterion.decide_on == "ci_low":
        return None if metric.ci is None else metric.ci.low
    if criterion.decide_on == "ci_high":
        return None if metric.ci is None else metric.ci.high
    return metric.value


def _weigh(
    criterion: Criterion,
    threshold: Threshold,
    found: list[Metric],
    selections: Mapping[str, Selected],
) -> tuple[Verdict, str, bool]:
    """(verdict, why, may a waiver accept it): only a measured shortfall can be waived."""
    if len(found) != 1:
        why = "nobody measured it" if not found else "it was measured more than once"
        return "error", why, False
    metric = found[0]
    if metric.provenance == "unavailable":
        return "unavailable", metric.reason or "no reason was given", False
    other = _other_candidate(metric, selections)
    if other is not None:
        return "unavailable", other, False
    if metric.unit != criterion.unit:
        why = f"it came in {metric.unit!r} where the criterion is in {criterion.unit!r}"
        return "error", why, False
    if metric.value is None:
        return "error", metric.reason or "the value is not a finite number", False
    if metric.provenance != "measured":
        return "unavailable", f"the value is {metric.provenance}; only a measured one passes", False
    deciding = _deciding_value(criterion, metric)
    if deciding is None:
        return "error", "it is decided on an interval and none was given", False
    if criterion.decide_on.startswith("ci_") and metric.ci and metric.ci.level < MIN_LEVEL:
        why = f"the interval is of level {metric.ci.level:g}, {MIN_LEVEL:g} is required"
        return "error", why, False
    if metric.n < criterion.min_n:
        why = f"n = {metric.n:,} is too few to decide, at least {criterion.min_n:,} are needed"
        return "inconclusive", why, False
    if not satisfies(metric.value, criterion.op, threshold):
        short = number(abs(margin_of(metric.value, criterion.op, threshold)))
        return "fail", f"the value misses the bound by {short}", True
    if not satisfies(deciding, criterion.op, threshold):
        return "inconclusive", "the value passes but its interval reaches past the bound", True
    room = number(margin_of(deciding, criterion.op, threshold))
    return "pass", f"it passes with {room} to spare" if room != "0" else "it passes", False


def _other_candidate(metric: Metric, selections: Mapping[str, Selected]) -> str | None:
    """Why the metric is of a candidate that the criteria do not select; None where it is not."""
    for name, candidate in metric.measured_on.items():
        found = selections.get(name)
        if found is None:
            return f"it was measured on {candidate}, and the criteria file has no selection {name}"
        if found.selected != candidate:
            selected = found.selected or "no candidate"
            return (
                f"it was measured on {candidate}, and the criteria now select {selected} as "
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
    verdict, why, waivable = _weigh(criterion, threshold, found, selections)
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
        waiver, note = _waive(criterion, waivers, evidence, today, waivable)
        if waiver and waiver["state"] == "applied":
            verdict = "waived"
    reason = f"{statement(draft)}: {why}{note}."
    return draft.model_copy(update={"verdict": verdict, "waiver": waiver, "reason": reason})


def _waive(
    criterion: Criterion, waivers: list[Waiver], evidence: str, today: date, waivable: bool
) -> tuple[dict[str, str] | None, str]:
    """The waiver that counts and what to say of it: one that holds before one that is dead."""
    chosen: tuple[dict[str, str] | None, str] = (None, "")
    for waiver in waivers:
        if waiver.criterion != criterion.id:
            continue
        record = waiver.model_dump(mode="json")
        dead = invalid_reason(waiver, evidence, today)
        if dead is None and not waivable:
            dead = "a waiver accepts a measured shortfall, not a missing measurement"
        if dead is None:
            return {**record, "state": "applied"}, f"; waived by {waiver.author}"
        note = f"; the waiver by {waiver.author} does not hold, {dead}"
        chosen = {**record, "state": dead}, note
    return chosen


def _metrics_for(
    criterion: Criterion,
    measurement: Measurement,
    criteria: CriteriaFile,
    selections: Mapping[str, Selected],
) -> list[Metric]:
    """The measured metrics, and that of the selection which the criterion is about."""
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
    """Decide what a measurement means under the criteria as they stand.

    GO only where every required criterion passes or is waived. What is missing, not finite, not
    `measured`, too small or undecided is not a pass. The same input gives the same document.

    Args:
        scale: the run's `scale`; criteria with a threshold for it use that one.
        today: the day that waivers are held against; by default the current one.

    Raises:
        EvidenceError: the measurement is of another experiment.
        ConfigError: a waiver names a criterion that does not exist.
    """
    if measurement.experiment != criteria.experiment:
        raise EvidenceError(
            f"a measurement of {measurement.experiment!r} cannot be judged by the criteria of "
            f"{criteria.experiment!r}",
            hint="measure again; a file was moved",
        )
    mine = relevant(waivers, measurement.run, measurement.experiment)
    ids = {c.id for c in criteria.criteria}
    for waiver in mine:
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
            c, _metrics_for(c, measurement, criteria, selections), selections, mine, scale,
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
        digests={"evidence": evidence, "criteria": now, "waivers": waivers_digest(mine)},
        environment=measurement.environment,
        criteria_changed_after_measuring=measurement.digests.get("criteria") != now,
    )
    digests = {**decision.digests, "decision": decision_digest(decision)}
    return decision.model_copy(update={"digests": digests})


def failing(decision: Decision) -> list[Judged]:
    """The required criteria that keep a decision from GO."""
    return [
        j
        for j in decision.criteria
        if j.severity == "required" and j.verdict not in ("pass", "waived")
    ]
