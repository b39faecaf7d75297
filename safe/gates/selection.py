"""Select one of several candidates by a rule of the criteria file."""

from __future__ import annotations

from collections.abc import Sequence

from safe.gates.bounds import satisfies
from safe.gates.formatting import bound, number
from safe.gates.schema import (
    Candidate,
    Candidates,
    Criterion,
    JudgedLimit,
    Limit,
    Metric,
    Preference,
    Selected,
    Selection,
)


def within_limit(candidate: Candidate, limit: Limit, scale: str) -> bool:
    """Return whether the candidate's value satisfies the limit; a missing value does not."""
    value = candidate.values.get(limit.value)
    return value is not None and satisfies(value, limit.op, limit.threshold_at(scale))


def select(rule: Selection, candidates: Sequence[Candidate], scale: str) -> Selected:
    """Apply a selection rule to candidates.

    Candidates that satisfy all limits are filtered by each preference in turn. The first remaining
    candidate is selected. A candidate without a preferred value ranks last.
    """
    within = [c for c in candidates if all(within_limit(c, li, scale) for li in rule.limits)]
    left = within if rule.prefer else []
    for preference in rule.prefer:
        left = _narrow(left, preference)
    chosen = left[0] if left else None
    broken = [li for li in rule.confirm if chosen and not within_limit(chosen, li, scale)]
    return Selected(
        selected=None if chosen is None or broken else chosen.name,
        within=[c.name for c in within],
        candidates=len(candidates),
        limits=[
            JudgedLimit(
                value=limit.value,
                op=limit.op,
                threshold=limit.threshold_at(scale),
                scaled=limit.scaled_at(scale),
                rationale=limit.rationale,
                satisfied=sum(within_limit(c, limit, scale) for c in candidates),
                confirms=confirms,
            )
            for limits, confirms in ((rule.limits, False), (rule.confirm, True))
            for limit in limits
        ],
        rationale=rule.rationale,
        reason=_reason(rule, within, chosen, broken, len(candidates), scale),
    )


def _narrow(candidates: Sequence[Candidate], preference: Preference) -> list[Candidate]:
    sign = 1 if preference.take == "least" else -1

    def rank(candidate: Candidate, name: str) -> float:
        value = candidate.values.get(name)
        return float("inf") if value is None else sign * value

    if not candidates:
        return []
    best = min(candidates, key=lambda c: rank(c, preference.value))
    cut = rank(best, preference.within or preference.value)
    return [c for c in candidates if c is best or rank(c, preference.value) <= cut]


def _reason(
    rule: Selection,
    within: Sequence[Candidate],
    chosen: Candidate | None,
    broken: Sequence[Limit],
    count: int,
    scale: str,
) -> str:
    met = f"{len(within)} of {count} candidates satisfy the limits"
    if chosen is None:
        return f"{met}."
    if broken:
        limit = broken[0]
        value = chosen.values.get(limit.value)
        shown = "not measured" if value is None else number(value)
        needed = f"{limit.op} {bound(limit.threshold_at(scale))}"
        return f"{met}; {chosen.name} is not confirmed: {limit.value} is {shown}, needs {needed}."
    order = ", then ".join(f"{p.take} {p.value}" for p in rule.prefer)
    return f"{met}; {chosen.name} is selected ({order})."


def derived_metric(
    rule: Selection, table: Candidates, found: Selected, criterion: Criterion
) -> Metric:
    """Return the metric of a selection, which a criterion of the same name is judged on."""
    confirmed = found.selected is not None or not rule.prefer
    count = len(found.within) if confirmed else 0
    share = criterion.unit == "fraction"
    return Metric(
        name=rule.name,
        value=count / found.candidates if share and found.candidates else count,
        unit="fraction" if share else "count",
        n=found.candidates,
        items=table.items,
        provenance="measured",
        per_item=table.per_item,
    )
