"""The judge: a metric that is missing, invalid or uncertain is NO-GO."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from safe.errors import ConfigError, EvidenceError
from safe.gates.bounds import margin_of, satisfies
from safe.gates.judge import failing, judge
from safe.gates.schema import Criterion, Decision, Interval, Metric, Waiver, decision_digest
from safe.gates.schema import evidence_digest as evidence
from tests.unit.gates.builders import criteria_of, criterion, measurement, metric

TODAY = date(2026, 6, 1)


def decide(item: Criterion, *metrics: Metric, **options: object) -> Decision:
    criteria = criteria_of(item)
    return judge(measurement(*metrics, criteria=criteria), criteria, today=TODAY, **options)


def verdict(item: Criterion, *metrics: Metric) -> str:
    return decide(item, *metrics).criteria[0].verdict


def test_measured_value_within_the_threshold_is_go() -> None:
    decision = decide(criterion(), metric())
    assert decision.verdict == "GO"
    judged = decision.criteria[0]
    assert judged.verdict == "pass"
    assert judged.margin == pytest.approx(0.05)
    assert "01.share = 0.97" in judged.reason
    assert ">= 0.9" in judged.reason


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([], "error"),
        ([metric(), metric()], "error"),
        ([metric(None)], "error"),
        ([metric(float("nan"))], "error"),
        ([metric(float("inf"))], "error"),
        ([metric(unit="percent")], "error"),
        ([metric(ci=None)], "error"),
        ([metric(ci=Interval(low=0.95, high=0.98, level=0.8, method="wilson"))], "error"),
        ([metric(provenance="unavailable", reason="no such file")], "unavailable"),
        ([metric(provenance="estimated")], "unavailable"),
        ([metric(provenance="simulated")], "unavailable"),
        ([metric(n=99)], "inconclusive"),
        ([metric(n=0)], "inconclusive"),
        ([metric(0.92, ci=Interval(low=0.89, high=0.94, method="wilson"))], "inconclusive"),
        ([metric(0.85, ci=Interval(low=0.8, high=0.95, method="wilson"))], "fail"),
        # an interval that does not contain its value was not computed for it
        ([metric(0.85, ci=Interval(low=0.95, high=0.97, method="wilson"))], "error"),
        ([metric(0.97, ci=Interval(low=0.98, high=0.99, method="wilson"))], "error"),
    ],
)
def test_unknown_or_uncertain_metric_is_no_go(metrics: list[Metric], expected: str) -> None:
    decision = decide(criterion(), *metrics)
    assert decision.criteria[0].verdict == expected
    assert decision.verdict == "NO-GO"
    assert failing(decision) == decision.criteria
    assert decision.criteria[0].reason.endswith(".")


def test_advisory_criteria_are_judged_but_do_not_decide() -> None:
    item = criterion(id="01.other", metric="other", severity="advisory")
    criteria = criteria_of(criterion(), item)
    decision = judge(measurement(metric(), criteria=criteria), criteria, today=TODAY)
    assert [j.verdict for j in decision.criteria] == ["pass", "error"]
    assert decision.verdict == "GO"


def test_only_advisory_criteria_are_no_go() -> None:
    assert decide(criterion(severity="advisory"), metric()).verdict == "NO-GO"


def test_scaled_threshold_decides_and_shows_the_plans_threshold() -> None:
    reason = "The miniature is too small for the plan's bound."
    item = criterion(scaled={"miniature": {"threshold": 0.99, "reason": reason}})
    small = decide(item, metric(), scale="miniature").criteria[0]
    assert (small.verdict, small.threshold) == ("fail", 0.99)
    assert small.scaled == {"plan": 0.9, "reason": reason}
    full = decide(item, metric(), scale="full").criteria[0]
    assert (full.verdict, full.threshold, full.scaled) == ("pass", 0.9, None)


def test_between_decides_at_both_ends() -> None:
    item = criterion(op="between", threshold=[10, 50], unit="count", decide_on="exact")
    for value, expected in ((9, "fail"), (10, "pass"), (50, "pass"), (51, "fail")):
        assert verdict(item, metric(value, unit="count", ci=None)) == expected


def test_decision_is_deterministic_and_digests_cover_criteria_and_evidence() -> None:
    first, again = decide(criterion(), metric()), decide(criterion(), metric())
    assert first.model_dump_json() == again.model_dump_json()
    assert first.digests["decision"] == decision_digest(first)
    made = measurement(metric(), criteria=criteria_of(criterion()))
    other = judge(made, criteria_of(criterion(threshold=0.91)), today=TODAY)
    assert other.digests["decision"] != first.digests["decision"]
    assert other.digests["evidence"] == first.digests["evidence"]


def test_evidence_digest_ignores_time_and_environment_only() -> None:
    criteria = criteria_of(criterion())
    made = measurement(metric(), criteria=criteria)
    repeated = made.model_copy(
        update={"started": "later", "duration_s": 9.0, "environment": {"host": "other"}}
    )
    assert evidence(repeated) == evidence(made)
    changed = measurement(metric(0.971), criteria=criteria)
    assert evidence(changed) != evidence(made)
    assert evidence(made.model_copy(update={"seeds": {"run": 1}})) != evidence(made)


def test_criteria_edited_after_measuring_are_flagged() -> None:
    before, after = criteria_of(criterion()), criteria_of(criterion(threshold=0.8))
    made = measurement(metric(), criteria=before)
    assert not judge(made, before, today=TODAY).criteria_changed_after_measuring
    assert judge(made, after, today=TODAY).criteria_changed_after_measuring
    unknown = made.model_copy(update={"digests": {}})
    assert judge(unknown, before, today=TODAY).criteria_changed_after_measuring


def test_measurement_of_another_experiment_is_refused() -> None:
    mine, other = criteria_of(criterion()), criteria_of(criterion(), name="01_other")
    with pytest.raises(EvidenceError, match="01_other"):
        judge(measurement(metric(), criteria=other), mine)


# Waivers -----------------------------------------------------------------------------------------


def waiver_for(digest: str, **changes: str) -> Waiver:
    values = {
        "run": "trial",
        "experiment": "01_made_up",
        "criterion": "01.share",
        "author": "Ada Lovelace",
        "reason": "Accepted for this trial, with eyes open.",
        "expires": "2026-06-01",
        "evidence": digest,
    }
    return Waiver.model_validate(values | changes)


SHORTFALL = metric(0.85, ci=Interval(low=0.8, high=0.88, method="wilson"))


def waived(shown: Metric, today: date = TODAY, **changes: str) -> Decision:
    criteria = criteria_of(criterion())
    made = measurement(shown, criteria=criteria)
    return judge(made, criteria, [waiver_for(evidence(made), **changes)], today=today)


def test_waiver_accepts_a_measured_shortfall() -> None:
    decision = waived(SHORTFALL)
    judged = decision.criteria[0]
    assert (decision.verdict, judged.verdict) == ("GO", "waived")
    assert judged.waiver is not None
    assert judged.waiver["author"] == "Ada Lovelace"
    assert "Ada Lovelace" in judged.reason


def test_waiver_is_invalid_after_its_date_or_with_other_evidence() -> None:
    assert waived(SHORTFALL, today=date(2026, 6, 2)).verdict == "NO-GO"
    late = waived(SHORTFALL, evidence="0" * 64)
    assert late.verdict == "NO-GO"
    assert "evidence has changed" in late.criteria[0].reason


@pytest.mark.parametrize(
    ("expires", "verdict"), [("2027-06-02", "GO"), ("2027-06-03", "NO-GO"), ("9999-12-31", "NO-GO")]
)
def test_waiver_lasts_a_year_at_most(expires: str, verdict: str) -> None:
    assert waived(SHORTFALL, expires=expires).verdict == verdict


@pytest.mark.parametrize(
    "shown",
    [metric(None), metric(provenance="unavailable"), metric(provenance="simulated"), metric(n=5)],
)
def test_waiver_never_replaces_a_measurement(shown: Metric) -> None:
    decision = waived(shown)
    assert decision.verdict == "NO-GO"
    assert decision.criteria[0].verdict != "waived"
    assert "is invalid" in decision.criteria[0].reason


def test_waiver_of_another_run_does_not_count() -> None:
    assert waived(SHORTFALL, run="other").verdict == "NO-GO"


def test_waiver_of_an_unknown_criterion_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"01\.shore"):
        waived(SHORTFALL, criterion="01.shore")


def test_waiver_does_not_change_a_pass() -> None:
    judged = waived(metric()).criteria[0]
    assert (judged.verdict, judged.waiver) == ("pass", None)


# Properties --------------------------------------------------------------------------------------

numbers = st.floats(-10, 10, allow_nan=False)
provenances = st.sampled_from(["measured", "estimated", "simulated", "unavailable"])
VERDICTS = {"pass", "fail", "inconclusive", "unavailable", "error", "waived"}


@st.composite
def criteria_items(draw: st.DrawFn) -> Criterion:
    op = draw(st.sampled_from(["<=", "<", ">=", ">", "==", "between"]))
    bound = {">=": "ci_low", ">": "ci_low", "<=": "ci_high", "<": "ci_high"}.get(op)
    choices = ["point", "exact", *([bound] if bound else [])]
    threshold: object = draw(numbers)
    if op == "between":
        threshold = sorted([draw(numbers), draw(numbers)])
    return criterion(op=op, threshold=threshold, decide_on=draw(st.sampled_from(choices)))


@st.composite
def metrics_of_any_kind(draw: st.DrawFn) -> Metric:
    value = draw(st.none() | st.floats(-10, 10) | st.just(float("nan")))
    ci = None
    if draw(st.booleans()):
        low, high = sorted([draw(numbers), draw(numbers)])
        ci = Interval(low=low, high=high, level=draw(st.sampled_from([0.9, 0.95])), method="x")
    return metric(
        value,
        unit=draw(st.sampled_from(["fraction", "count"])),
        n=draw(st.integers(0, 200)),
        provenance=draw(provenances),
        ci=ci,
    )


@given(criteria_items(), metrics_of_any_kind())
def test_only_a_measured_sufficient_finite_value_can_be_go(item: Criterion, shown: Metric) -> None:
    decision = decide(item, shown)
    judged = decision.criteria[0]
    assert judged.verdict in VERDICTS
    assert (decision.verdict == "GO") == (judged.verdict == "pass")
    if decision.verdict == "GO":
        assert shown.provenance == "measured"
        assert shown.value is not None
        assert shown.unit == item.unit
        assert shown.n >= item.min_n
        assert satisfies(shown.value, item.op, item.threshold)
        if item.decide_on.startswith("ci_"):
            assert shown.ci is not None
            bound = shown.ci.low if item.decide_on == "ci_low" else shown.ci.high
            assert satisfies(bound, item.op, item.threshold)


@given(st.lists(st.sampled_from("abc"), unique=True, max_size=2))
def test_missing_metric_is_no_go(present: list[str]) -> None:
    items = [criterion(id=f"01.{name}", metric=name) for name in "abc"]
    criteria = criteria_of(*items)
    made = measurement(*[metric(name=n) for n in present], criteria=criteria)
    assert judge(made, criteria, today=TODAY).verdict == "NO-GO"


@given(criteria_items(), metrics_of_any_kind(), st.floats(0, 10))
def test_looser_threshold_keeps_a_pass(item: Criterion, shown: Metric, slack: float) -> None:
    assume(item.op != "==")
    bound = item.threshold
    if isinstance(bound, tuple):
        looser: object = [bound[0] - slack, bound[1] + slack]
    else:
        looser = bound - slack if item.op in (">=", ">") else bound + slack
    relaxed = Criterion.model_validate(item.model_dump() | {"threshold": looser})
    if verdict(item, shown) == "pass":
        assert verdict(relaxed, shown) == "pass"


@given(criteria_items(), numbers)
def test_margin_has_the_sign_of_the_verdict(item: Criterion, value: float) -> None:
    margin = margin_of(value, item.op, item.threshold)
    if satisfies(value, item.op, item.threshold):
        assert margin >= 0
    else:
        assert margin <= 0


@pytest.mark.parametrize(
    ("items", "expected"), [(None, "inconclusive"), (0, "inconclusive"), (99, "inconclusive"),
                            (100, "pass")],
)  # fmt: skip
def test_min_items_counts_the_items_behind_each_sample(items: int | None, expected: str) -> None:
    counted = criterion(min_items=100)
    assert verdict(counted, metric(items=items)) == expected
    assert verdict(criterion(), metric(items=items)) == "pass"
