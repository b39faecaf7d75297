"""Selection of a candidate by the rule of the criteria."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from safe.errors import ConfigError, EvidenceError
from safe.gates.criteria_check import read_candidates
from safe.gates.documents import read_selected
from safe.gates.judge import judge
from safe.gates.run import GateRun
from safe.gates.schema import (
    Candidate,
    Candidates,
    CriteriaFile,
    Decision,
    Metric,
    Parent,
    Selection,
)
from safe.gates.selection import select
from safe.gates.status import rows_of
from tests.unit.gates.builders import criteria_of, criterion, measurement, metric, write_measurement

REASON = "A rule made for the tests only."


def rule(**changes: Any) -> Selection:
    """The cheapest candidate with a gain of at least 0.5, or 0.1 in small runs."""
    small = {"small": {"threshold": 0.1, "reason": "Few items tell less than half."}}
    values = {
        "name": "best",
        "candidates": "cells",
        "rationale": REASON,
        "limits": [
            {"value": "gain", "op": ">=", "threshold": 0.5, "rationale": REASON, "scaled": small}
        ],
        "prefer": [{"value": "cost", "take": "least"}],
    }
    return Selection.model_validate(values | changes)


def cell(name: str, **values: float | None) -> Candidate:
    return Candidate(name=name, values=values)


CELLS = [cell("a", gain=0.9, cost=3), cell("b", gain=0.6, cost=2), cell("c", gain=0.2, cost=1)]


def test_preferred_candidate_within_the_limits_is_selected() -> None:
    found = select(rule(), CELLS, "full")
    assert (found.selected, found.within, found.candidates) == ("b", ["a", "b"], 3)
    assert found.limits[0].satisfied == 2
    assert found.limits[0].scaled is None


def test_scaled_limit_is_used_and_shows_the_plans_limit() -> None:
    found = select(rule(), CELLS, "small")
    assert found.selected == "c"
    assert found.limits[0].threshold == 0.1
    assert found.limits[0].scaled is not None
    assert found.limits[0].scaled["plan"] == 0.5


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_value_that_is_not_finite_satisfies_no_limit(value: float | None) -> None:
    assert select(rule(), [cell("a", gain=value, cost=1)], "full").selected is None
    assert select(rule(), [cell("a", cost=1)], "full").selected is None


def test_candidate_without_the_preferred_value_is_not_preferred() -> None:
    found = select(rule(), [cell("a", gain=1, cost=None), cell("b", gain=1, cost=9)], "full")
    assert found.selected == "b"


def test_empty_table_selects_none() -> None:
    found = select(rule(), [], "full")
    assert (found.selected, found.candidates) == (None, 0)


def test_within_keeps_candidates_inside_the_interval_of_the_best() -> None:
    """`b` skips less than `a`, but more than the lower bound of `a`'s interval."""
    prefer = [
        {"value": "skips", "take": "most", "within": "skips_low"},
        {"value": "cost", "take": "least"},
    ]
    table = [
        cell("a", gain=1, skips=0.50, skips_low=0.40, cost=3),
        cell("b", gain=1, skips=0.45, skips_low=0.35, cost=2),
        cell("c", gain=1, skips=0.38, skips_low=0.30, cost=1),
    ]
    assert select(rule(prefer=prefer), table, "full").selected == "b"


def test_unconfirmed_selection_selects_none() -> None:
    confirm = [{"value": "again", "op": ">=", "threshold": 0.5, "rationale": REASON}]
    table = [cell("a", gain=0.9, cost=1, again=0.4), cell("b", gain=0.9, cost=2, again=0.9)]
    found = select(rule(confirm=confirm), table, "full")
    assert found.selected is None  # the next best would be selected on the confirming data
    assert "not confirmed" in found.reason
    assert [limit.confirms for limit in found.limits] == [False, True]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), max_size=8),
    st.floats(0, 1),
)
def test_selection_agrees_with_sorting(rows: list[tuple[float, int]], least: float) -> None:
    table = [cell(str(n), gain=gain, cost=cost) for n, (gain, cost) in enumerate(rows)]
    limit = {"value": "gain", "op": ">=", "threshold": least, "rationale": REASON}
    found = select(rule(limits=[limit]), table, "full")
    ranked = sorted((cost, n) for n, (gain, cost) in enumerate(rows) if gain >= least)
    assert found.selected == (str(ranked[0][1]) if ranked else None)


def test_two_candidates_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="same name"):
        Candidates(rows=[cell("a"), cell("a")])


def test_confirm_without_prefer_is_refused() -> None:
    confirm = [{"value": "again", "op": ">=", "threshold": 0.5, "rationale": REASON}]
    with pytest.raises(ValidationError, match="confirm needs prefer"):
        rule(confirm=confirm, prefer=[])


# -- in the judge ---------------------------------------------------------------------------------


def decide(*metrics: Metric, table: list[Candidate] | None = CELLS, **changes: Any) -> Decision:
    """Judge a criterion on the number of candidates, and a criterion on the metrics."""
    counted = criterion(
        id="01.best", metric="best", op=">=", threshold=1, unit="count", decide_on="exact", min_n=3
    )
    other = criterion(id="01.share")
    criteria = CriteriaFile.model_validate(
        {
            "experiment": "01_made_up",
            "title": "Made up",
            "objective": "Try the judge",
            "needs": [],
            "criteria": [counted.model_dump(), other.model_dump()],
            "selections": [rule(**changes).model_dump()],
        }
    )
    made = measurement(*metrics, criteria=criteria)
    if table is not None:
        made = made.model_copy(update={"candidates": {"cells": Candidates(rows=table)}})
    return judge(made, criteria)


def test_criterion_is_judged_on_the_number_of_candidates_within_the_limits() -> None:
    decision = decide(metric())
    assert decision.verdict == "GO"
    assert (decision.criteria[0].value, decision.criteria[0].n) == (2, 3)
    assert decision.selections["best"].selected == "b"


def test_no_candidate_within_the_limits_is_no_go() -> None:
    limit = {"value": "gain", "op": ">=", "threshold": 0.95, "rationale": REASON}
    decision = decide(metric(), limits=[limit])
    assert decision.criteria[0].verdict == "fail"
    assert decision.verdict == "NO-GO"


def test_too_few_candidates_are_inconclusive() -> None:
    assert decide(metric(), table=CELLS[:2]).criteria[0].verdict == "inconclusive"


def test_metric_in_place_of_candidates_is_an_error() -> None:
    """A measurement without candidates, or with a metric of the criterion's name."""
    count = metric(5, name="best", unit="count", n=3)
    assert decide(metric(), table=None).criteria[0].verdict == "error"
    assert decide(metric(), count).criteria[0].verdict == "error"


def test_metric_of_another_candidate_is_unavailable() -> None:
    of_b = metric(measured_on={"best": "b"})
    assert decide(of_b).criteria[1].verdict == "pass"
    for other in (metric(measured_on={"best": "a"}), metric(measured_on={"unknown": "b"})):
        assert decide(other).criteria[1].verdict == "unavailable"
    limit = {"value": "gain", "op": ">=", "threshold": 0.7, "rationale": REASON}
    judged = decide(of_b, limits=[limit]).criteria[1]
    assert judged.verdict == "unavailable"
    assert "measure the experiment again" in judged.reason


def test_candidates_must_be_declared_as_a_literal(tmp_path: Any) -> None:
    module = tmp_path / "__init__.py"
    module.write_text('CANDIDATES: dict = {"cells": ("gain", "cost")}\n')
    assert read_candidates(module) == {"cells": ("gain", "cost")}
    module.write_text("METRICS = {}\n")
    assert read_candidates(module) == {}
    module.write_text("CANDIDATES = make()\n")
    with pytest.raises(ConfigError, match="CANDIDATES"):
        read_candidates(module)


# -- of an upstream experiment --------------------------------------------------------------------


def test_another_selection_upstream_makes_an_experiment_stale(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    counted = criterion(
        id="01.best", metric="best", op=">=", threshold=1, unit="count", decide_on="exact", min_n=3
    )
    first = criteria_of(counted, name="01_first", selections=[rule().model_dump()])
    second = criteria_of(criterion(id="02.share"), name="02_second", needs=["01_first"])
    table = {"cells": Candidates(rows=CELLS)}
    seen = measurement(criteria=first).model_copy(update={"candidates": table})
    decision = judge(seen, first)
    parent = Parent(
        decision=decision.digests["decision"],
        evidence=decision.digests["evidence"],
        verdict="GO",
        selected={"best": "b"},
    )
    later = measurement(metric(), criteria=second, upstream={"01_first": parent})
    for made, judged in ((seen, decision), (later, judge(later, second))):
        write_measurement(folder, made)
        text = judged.model_dump_json()
        (folder / made.experiment / "decision.json").write_text(text, encoding="utf-8")
    (folder / "02_second" / "jobs" / "seed_0").mkdir(parents=True)
    (folder / "02_second" / "jobs" / "seed_0" / "result.json").write_text("{}")
    (tmp_path / "waivers.yaml").write_text("[]\n")
    run = GateRun(folder, tmp_path, tmp_path / "waivers.yaml", "full")
    assert read_selected(folder / "01_first", "best") == "b"
    assert [row.status for row in rows_of(run, [first, second]).values()] == ["go", "go"]

    limit = {"value": "gain", "op": ">=", "threshold": 0.7, "rationale": REASON}
    strict = first.model_copy(update={"selections": [rule(limits=[limit])]})
    text = judge(seen, strict).model_dump_json()
    (folder / "01_first" / "decision.json").write_text(text, encoding="utf-8")
    row = rows_of(run, [strict, second])["02_second"]
    assert row.status == "stale"
    assert "selects a" in row.reason
    assert "seed_0/result.json" in str(row.next)  # it must be trained again


def test_nothing_selected_upstream_is_an_error(tmp_path: Path) -> None:
    limit = {"value": "gain", "op": ">", "threshold": 1, "rationale": REASON}
    decision = decide(metric(), limits=[limit])
    (tmp_path / "decision.json").write_text(decision.model_dump_json(), encoding="utf-8")
    for name in ("best", "other"):
        with pytest.raises(EvidenceError, match="no candidate is selected"):
            read_selected(tmp_path, name)
