"""Power assessment before a run, from plans, assumptions and earlier measurements."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from safe.digest import digest_json
from safe.gates.criteria import criteria_digest, load_all
from safe.gates.judge import judge
from safe.gates.planning import (
    Planned,
    PowerRow,
    as_table,
    assess,
    assess_all,
    percent,
    summary,
)
from safe.gates.schema import Criterion, Interval
from tests.unit.gates.builders import CRITERIA, criteria_of, criterion, measurement, metric

REASON = "Assumed for the tests only."


def assumed(kind: str = "proportion", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "reason": REASON, **values}


def power_of(
    item: Criterion, n: int | None = 1000, measured: Any = None, scale: str = "full", **planned: Any
) -> PowerRow:
    return assess(item, Planned(n, **planned), measured, scale)


def seed_criterion(**power: Any) -> Criterion:
    return criterion(
        metric="sd", op="<=", threshold=0.005, decide_on="point", min_n=3,
        power=assumed("seed_spread", **power),
    )  # fmt: skip


# Verdicts ----------------------------------------------------------------------------------------


def test_share_far_from_its_bound_decides_and_one_near_it_does_not() -> None:
    far = power_of(criterion(power=assumed(expected=0.97)))
    assert (far.verdict, far.open) == ("decides", False)
    near = power_of(criterion(power=assumed(expected=0.92)))
    assert (near.verdict, near.open) == ("by luck", True)
    assert near.probability == pytest.approx(0.54, abs=0.1)
    assert isinstance(near.items_needed, int)
    assert near.items_needed > 1000
    more = power_of(criterion(power=assumed(expected=0.92)), n=near.items_needed)
    assert more.verdict == "decides"


def test_too_few_samples_cannot_decide() -> None:
    row = power_of(criterion(power=assumed(expected=1.0)), n=99)
    assert row.verdict == "cannot be decided"
    assert row.reason == "n = 99 is below min_n = 100"
    rare = criterion(
        op="<", threshold=0.02, decide_on="ci_high", min_n=50, power=assumed(expected=0.0)
    )
    row = power_of(rare, n=150)
    assert row.verdict == "cannot be decided"
    assert "at least 189 are needed" in row.reason
    assert row.items_needed == 189
    assert power_of(rare, n=189).verdict == "decides"


def test_exact_criteria_need_only_enough_samples() -> None:
    item = criterion(op="==", threshold=0, unit="count", decide_on="exact", power=assumed("exact"))
    assert power_of(item, n=None).verdict == "exact"
    assert power_of(item, n=5).verdict == "cannot be decided"


@pytest.mark.parametrize(("probability", "verdict"), [(0.995, "decides"), (0.9, "by luck")])
def test_count_uses_its_assumed_probability(probability: float, verdict: str) -> None:
    item = criterion(decide_on="point", power=assumed("count", probability=probability))
    assert power_of(item).verdict == verdict
    assert power_of(criterion(decide_on="point", power=assumed("count"))).verdict == "unknown"


@pytest.mark.parametrize(
    ("power", "n", "message"),
    [
        (None, 1000, "no earlier run, and the criterion has no `power` block"),
        (assumed(), 1000, "no expected value is assumed"),
        (assumed("mean", expected=0.95), 1000, "neither an interval"),
        (assumed(expected=0.95), None, "planned number of items is not known"),
        (assumed(expected=0.95, scale="miniature"), 1000, "for scale: miniature"),
    ],
)
def test_missing_information_is_named(power: Any, n: int | None, message: str) -> None:
    row = power_of(criterion(power=power), n=n)
    assert row.verdict == "unknown"
    assert message in row.reason
    assert not row.open


def test_scaled_threshold_is_used() -> None:
    scaled = {"miniature": {"threshold": 0.5, "reason": "Smaller models know less."}}
    item = criterion(scaled=scaled, power=assumed(expected=0.8))
    assert power_of(item, scale="miniature").verdict == "decides"
    assert "misses the bound" in power_of(item, scale="full").reason


def test_too_large_run_sd_is_named() -> None:
    row = power_of(criterion(power=assumed(expected=0.95, run_sd=0.03)))
    assert (row.verdict, row.items_needed) == ("by luck", "none")
    assert "spread between runs alone" in row.reason


# Seeds -------------------------------------------------------------------------------------------


def test_too_large_seed_sd_cannot_be_resolved_by_items() -> None:
    row = power_of(seed_criterion(item_sd=0.103, run_sd=0.0045), n=3, items=1841, seeds=3)
    assert row.verdict == "by luck"
    assert row.probability == pytest.approx(0.62, abs=0.01)
    assert (row.items_needed, row.seeds_needed) == ("none", "none")
    assert "no number of items is enough" in row.reason


def test_seed_sd_dominated_by_item_noise_needs_items() -> None:
    row = power_of(seed_criterion(item_sd=0.103, run_sd=0.001), n=3, items=500, seeds=3)
    assert row.verdict == "by luck"
    assert isinstance(row.items_needed, int)
    again = power_of(
        seed_criterion(item_sd=0.103, run_sd=0.001), n=3, items=row.items_needed, seeds=3
    )
    assert again.verdict == "decides"
    assert isinstance(row.seeds_needed, str | int)


def components(between: float, item_noise: float, items: int = 1000) -> dict[str, Any]:
    return {"components": {"between": between, "item_noise": item_noise, "items": items}}


def test_item_noise_comes_from_the_last_run_and_the_larger_seed_sd_is_used() -> None:
    item = seed_criterion(item_sd=0.5, run_sd=0.001)

    def after(between_sd: float) -> PowerRow:
        detail = components(between_sd**2, 0.002**2)
        last = metric(0.002, name="sd", n=3, ci=None, detail=detail)
        return power_of(item, n=3, items=4000, seeds=3, measured=last)

    small = after(0.0005)
    assert small.run_sd == pytest.approx(0.001)
    assert small.item_sd == pytest.approx(0.002 * 1000**0.5)
    assert "between seeds assumed" in small.reason
    large = after(0.004)
    assert large.run_sd == pytest.approx(0.004)
    assert large.verdict == "by luck"


def test_assumed_sd_without_item_noise_includes_it() -> None:
    last = metric(0.002, name="sd", n=3, ci=None, detail=components(0.0005**2, 0.0006**2))
    row = power_of(seed_criterion(run_sd=0.001), n=3, items=1000, seeds=3, measured=last)
    assert row.run_sd == pytest.approx(0.0008)
    total = power_of(seed_criterion(run_sd=0.001), n=3, items=1000, seeds=3)
    assert row.probability == pytest.approx(total.probability)
    assert total.items_needed is None
    assert "not known separately" in total.reason


def test_last_run_without_components_keeps_the_assumption() -> None:
    last = metric(0.0001, name="sd", n=3, ci=None)
    row = power_of(
        seed_criterion(item_sd=0.103, run_sd=0.0045), n=3, items=1841, seeds=3, measured=last
    )
    assert row.probability == pytest.approx(0.62, abs=0.01)
    bare = criterion(
        metric="sd", op="<=", threshold=0.005, decide_on="point", power=assumed("seed_spread")
    )
    assert "no earlier run with variance components" in power_of(bare, seeds=3, items=9).reason


# The last run ------------------------------------------------------------------------------------


def test_last_run_replaces_the_assumed_value() -> None:
    item = criterion(power=assumed(expected=0.5))
    row = power_of(item, measured=metric(0.97))
    assert (row.verdict, row.expected) == ("decides", 0.97)
    assert "last run" in row.reason


def test_mean_takes_its_sd_from_the_interval_of_the_last_run() -> None:
    ci = Interval(low=0.9 - 0.02, high=0.95, method="cluster bootstrap, BCa")
    row = power_of(
        criterion(threshold=0.85, power=assumed("mean")), n=4000, measured=metric(0.9, ci=ci)
    )
    assert row.item_sd == pytest.approx(0.02 / 1.959964 * 1000**0.5, rel=1e-5)
    assert row.verdict == "decides"
    exactly = Interval(low=0.9, high=0.9, method="exact equality")
    row = power_of(criterion(power=assumed("mean")), measured=metric(0.9, ci=exactly))
    assert row.probability == 1.0


def test_without_a_power_block_the_interval_method_gives_the_kind() -> None:
    assert power_of(criterion(), measured=metric(0.97)).kind == "proportion"
    other = Interval(low=0.95, high=0.98, method="bootstrap, BCa")
    assert power_of(criterion(), measured=metric(0.97, ci=other)).kind == "mean"
    point = power_of(criterion(decide_on="point"), measured=metric(0.97))
    assert (point.verdict, point.kind) == ("unknown", None)
    assert "no `power` block" in point.reason


@pytest.mark.parametrize(
    "last",
    [
        metric(None, provenance="unavailable", reason="none", n=0),
        metric(0.97, unit="ratio"),
        metric(0.97, provenance="estimated"),
    ],
)
def test_value_that_was_not_measured_is_not_used(last: Any) -> None:
    row = power_of(criterion(power=assumed(expected=0.92)), measured=last)
    assert row.expected == 0.92


def test_n_of_the_last_run_replaces_an_unknown_plan() -> None:
    assert power_of(criterion(power=assumed()), n=None, measured=metric(0.97)).verdict == "decides"


# Files -------------------------------------------------------------------------------------------


def test_optional_experiments_and_advisory_criteria_are_not_required() -> None:
    near = criterion(power=assumed(expected=0.92))
    advisory = criterion(id="01.other", metric="other", severity="advisory", power=near.power)
    files = [criteria_of(near, advisory), criteria_of(near, name="02_more", optional=True)]
    planned = {(f.experiment, m): Planned(1000) for f in files for m in ("share", "other")}
    rows = assess_all(files, planned, {}, "full")
    assert [row.required for row in rows] == [True, False, False]
    assert [row.open for row in rows] == [True, False, False]
    line = summary(rows)
    assert "0 of 3 criteria decided with >= 99 %; 01.share passes by luck" in line
    assert line.count("by luck") == 1
    assert "[not required]" in as_table(rows)


def test_summary_names_at_most_three_criteria() -> None:
    near = criteria_of(*(criterion(id=f"01.c{i}", power=assumed(expected=0.92)) for i in range(9)))
    rows = assess_all([near], {("01_made_up", "share"): Planned(1000)}, {}, "full")
    assert summary(rows).count("passes by luck") == 3
    assert "6 more required criteria" in summary(rows)


def test_table_columns_are_aligned() -> None:
    rows = assess_all(load_all(CRITERIA), {}, {}, "miniature")
    lines = as_table(rows).splitlines()
    at = lines[0].index("why")
    assert all(line[at - 1] == " " and line[at] != " " for line in lines)
    assert {row.verdict for row in rows} >= {"exact", "unknown"}


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "0 %"), (0.618, "62 %"), (0.9894, "98.9 %"), (0.98996, "98.996 %"),
     (0.99, "99 %"), (0.9999999, "> 99.99 %"), (1.0, "100 %")],
)  # fmt: skip
def test_percentage_is_not_rounded_across_99_or_100(probability: float, text: str) -> None:
    assert percent(probability) == text


# The power block in the criteria -----------------------------------------------------------------


def test_power_block_changes_neither_digest_nor_verdict() -> None:
    bare, block = criteria_of(criterion()), criteria_of(criterion(power=assumed(expected=0.9)))
    assert criteria_digest(bare) == criteria_digest(block)
    made = measurement(metric(0.97), criteria=bare)
    assert judge(made, bare) == judge(made, block)
    other = criteria_of(criterion(threshold=0.8, power=assumed(expected=0.9)))
    assert criteria_digest(other) != criteria_digest(bare)


def test_digest_without_power_block_equals_that_of_older_files() -> None:
    values = {
        "experiment": "01_made_up", "title": "Made up", "objective": "Try the judge", "needs": [],
        "optional": False, "launch_items": [],
        "criteria": [{
            "id": "01.share", "claim": "Most of it works", "metric": "share", "op": ">=",
            "threshold": 0.9, "unit": "fraction", "decide_on": "ci_low", "min_n": 100,
            "severity": "required", "rationale": "A criterion made for the tests only.",
            "scaled": {},
        }],
    }  # fmt: skip
    assert criteria_digest(criteria_of(criterion())) == digest_json(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"power": assumed("exact", expected=1.0)}, "does not use expected"),
        ({"power": assumed("proportion", item_sd=0.1)}, "does not use item_sd"),
        ({"power": assumed("count", run_sd=0.1)}, "does not use run_sd"),
        ({"power": assumed("proportion", expected=1.5)}, "between 0 and 1"),
        ({"power": assumed("mean", run_sd=-1.0)}, "greater than or equal"),
        ({"power": {"kind": "exact", "reason": "short"}}, "at least 20"),
        ({"power": assumed("sometimes")}, "kind"),
        ({"power": assumed("seed_spread", run_sd=0.1)}, "does not go with op >="),
        (
            {"op": "==", "decide_on": "exact", "power": assumed("proportion")},
            "does not go with op ==",
        ),
    ],
)
def test_contradictory_power_block_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        criterion(**changes)


def test_every_criterion_has_a_power_block() -> None:
    for file in load_all(CRITERIA):
        for item in file.criteria:
            assert item.power is not None, item.id
            if item.power.kind == "exact":
                assert item.decide_on in ("exact", "point") or item.id == "04.vl_drop"
