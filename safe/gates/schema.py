"""Document models: Measurement, Criterion, Decision and Waiver."""

from __future__ import annotations

import math
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from safe.digest import digest_json

SCHEMA_VERSION = 1

Provenance = Literal["measured", "estimated", "simulated", "unavailable"]
Verdict = Literal["pass", "fail", "inconclusive", "unavailable", "error", "waived"]
Status = Literal["go", "no-go", "blocked", "stale", "not-run", "waived"]
Op = Literal["<=", "<", ">=", ">", "==", "between"]
DecideOn = Literal["point", "ci_low", "ci_high", "exact"]


def _threshold(value: Any) -> float | tuple[float, float]:
    """Parse a finite number or [low, high]. YAML reads `1e-5` as text and `yes` as a boolean."""

    def number(item: Any) -> float:
        if isinstance(item, bool) or not isinstance(item, int | float | str):
            raise ValueError("a threshold is a number, or [low, high] with op: between")
        try:
            found = float(item)
        except ValueError:
            raise ValueError("a threshold is a number, or [low, high] with op: between") from None
        if not math.isfinite(found):
            raise ValueError("a threshold must be a finite number")
        return found

    if not isinstance(value, list | tuple):
        return number(value)
    if len(value) != 2:
        raise ValueError("a range must be two numbers, [low, high]")
    low, high = number(value[0]), number(value[1])
    if low > high:
        raise ValueError("the lower bound is above the upper bound")
    return low, high


Threshold = Annotated[float | tuple[float, float], BeforeValidator(_threshold)]


class Document(BaseModel):
    """Immutable base model; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _finite(value: float | None) -> float | None:
    # JSON has no NaN; `detail` of a metric records NaN or infinity.
    return None if value is None or not math.isfinite(value) else value


FiniteOrNone = Annotated[float | None, AfterValidator(_finite)]


class Interval(Document):
    """A confidence interval. `method` names the procedure, e.g. `wilson`, `paired bootstrap`."""

    low: float
    high: float
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str = Field(min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"an interval needs finite low <= high, not {self.low}, {self.high}")
        return self


class Derivation(Document):
    """How a metric follows from its per-item table, so that it can be recomputed.

    `mean`: mean of a column; `difference`: of the means of two columns; `count`: number of true
    rows; `sd`: sample standard deviation.
    """

    statistic: Literal["mean", "difference", "count", "sd"]
    columns: list[str] = Field(min_length=1, max_length=2)
    where: dict[str, list[str | bool]] = {}  # column -> values of the rows that are included
    negated: bool = False  # false counts as 1

    @model_validator(mode="after")
    def _two_columns_differ(self) -> Derivation:
        if (self.statistic == "difference") != (len(self.columns) == 2):
            raise ValueError("a difference needs two columns, any other statistic one")
        return self


class Metric(Document):
    """One measured number.

    `value` is None if the number is not finite or not available; `reason` states why. `per_item` is
    a Parquet file relative to the experiment's folder. `measured_on` maps a selection to the
    candidate that was measured, if the number belongs to a selected candidate.
    """

    name: str
    value: FiniteOrNone
    unit: str
    n: int = Field(ge=0)
    items: int | None = Field(default=None, ge=0)  # behind each sample: questions of a seed
    provenance: Provenance
    ci: Interval | None = None
    per_item: str | None = None
    derivation: Derivation | None = None  # from `per_item`
    reason: str | None = None
    measured_on: dict[str, str] = {}
    detail: dict[str, Any] = {}

    @model_validator(mode="after")
    def _derivation_needs_table(self) -> Metric:
        if self.derivation is not None and self.per_item is None:
            raise ValueError("a metric with a derivation needs the table `per_item`")
        return self


class Candidate(Document):
    """One of several alternatives that an experiment compares, such as a cell of a grid."""

    name: str = Field(min_length=1)
    values: dict[str, FiniteOrNone]  # None: not measured; satisfies no limit
    note: str | None = None  # why a value is missing


class Candidates(Document):
    """Measured values of all candidates; the judge selects one of them."""

    rows: list[Candidate]
    items: int | None = Field(default=None, ge=0)  # fewest items that a value was measured on
    per_item: str | None = None  # Parquet file relative to the experiment's folder

    @field_validator("rows")
    @classmethod
    def _require_unique_names(cls, rows: list[Candidate]) -> list[Candidate]:
        if len({row.name for row in rows}) < len(rows):
            raise ValueError("two candidates have the same name")
        return rows


class Parent(Document):
    """The decision of an upstream experiment at the time of a measurement."""

    decision: str  # digest of the decision document
    evidence: str  # digest of the judged measurement
    verdict: Literal["GO", "NO-GO"]
    selected: dict[str, str | None] = {}  # selections that were read -> candidate


class Measurement(Document):
    """Measured values of one experiment and their provenance."""

    schema_version: int = SCHEMA_VERSION
    experiment: str
    run: str
    metrics: list[Metric]
    candidates: dict[str, Candidates] = {}
    digests: dict[str, str]  # data, code, config, criteria, weights
    files: dict[str, str] = {}  # evidence, jobs and inputs, relative to results/RUN -> digest
    sections: list[str] = []  # of the config, which `digests["config"]` covers
    upstream: dict[str, Parent] = {}
    environment: dict[str, Any]  # packages, host, device, git commit and dirty flag
    seeds: dict[str, int]
    started: str  # ISO 8601, UTC
    duration_s: float
    device_s: float
    peak_memory_bytes: int
    plots: list[str] = []  # files below the experiment's folder
    evidence: list[str] = []


# Fields added later; empty ones are left out of digests, so digests of older records stay valid.
LATER_FIELDS = (
    "candidates",
    "derivation",
    "files",
    "items",
    "measured_on",
    "min_items",
    "sections",
    "selected",
    "selections",
)
EVIDENCE_EXCLUDES = {"started", "duration_s", "device_s", "peak_memory_bytes", "environment"}


def evidence_digest(measurement: Measurement) -> str:
    """Digest of a measurement without times, machine and upstream verdicts.

    A deterministic repetition has the same digest; any other number, seed, dataset, weight or code
    changes it. Of upstream decisions only the evidence is included, so judging them again does not.
    """
    document = measurement.model_dump(mode="json", exclude=EVIDENCE_EXCLUDES)
    document["upstream"] = {name: p.evidence for name, p in sorted(measurement.upstream.items())}
    return digest_json(without_empty(document))


def without_empty(document: Any) -> Any:
    """Return the document without empty `LATER_FIELDS`, at any depth."""
    if isinstance(document, list):
        return [without_empty(value) for value in document]
    if not isinstance(document, dict):
        return document
    return {
        key: without_empty(value)
        for key, value in document.items()
        if value not in ({}, [], None) or key not in LATER_FIELDS
    }


class Scaled(Document):
    """A different threshold for runs of one `scale`, with a reason for the reviewer."""

    threshold: Threshold
    reason: str = Field(min_length=20)


class PowerAssumption(Document):
    """Assumption about how a criterion's value varies. Used by `safe power`, not by the judge.

    If the last run has a measurement, it replaces `expected` and `item_sd`.
    """

    kind: Literal["exact", "proportion", "mean", "seed_spread", "count"] = Field(
        description="exact: no sampling; the same run gives the same value. proportion: a share of "
        "items, each correct or wrong. mean: a mean, difference, ratio or time, assumed normal. "
        "seed_spread: a standard deviation over seeds. count: a count without a simple model."
    )
    expected: float | None = Field(
        default=None,
        description="Assumed true value, in the criterion's unit. For `proportion` and `mean`.",
    )
    item_sd: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation per item. For `mean`, of an item's value; for "
        "`seed_spread`, of an item's score after removing the effects of seed and item.",
    )
    run_sd: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation of the true value between trainings or repetitions, "
        "without the sampling of items. For `seed_spread`, between seeds, including item noise if "
        "`item_sd` is not given.",
    )
    design: float = Field(
        default=1.0,
        gt=0,
        description="Design effect of items that share a source: variance divided by the variance "
        "of as many independent items.",
    )
    interval: Literal["wilson", "clopper-pearson"] = Field(
        default="wilson", description="Interval that the metric uses. For `proportion`."
    )
    probability: float | None = Field(
        default=None, ge=0, le=1, description="Assumed probability to pass. For `count`."
    )
    scale: str | None = Field(
        default=None, description="Scale of the runs that the assumption applies to; none: all."
    )
    reason: str = Field(min_length=20, description="Where the kind and the numbers come from.")

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> PowerAssumption:
        allowed = {
            "exact": set(),
            "proportion": {"expected", "run_sd", "design", "interval"},
            "mean": {"expected", "item_sd", "run_sd", "design"},
            "seed_spread": {"item_sd", "run_sd", "design"},
            "count": {"probability"},
        }[self.kind] | {"kind", "scale", "reason"}
        fields = type(self).model_fields
        given = {name for name, f in fields.items() if getattr(self, name) != f.default}
        other = sorted(given - allowed)
        if other:
            raise ValueError(f"kind: {self.kind} does not use {', '.join(other)}")
        if self.kind == "proportion" and not 0 <= (self.expected or 0) <= 1:
            raise ValueError("a proportion must be between 0 and 1")
        return self


class Bound(Document):
    """A bound on a number, with its rationale; scales may have different thresholds."""

    op: Op
    threshold: Threshold
    rationale: str = Field(min_length=20)
    scaled: dict[str, Scaled] = {}  # by scale; `full` uses `threshold`

    def threshold_at(self, scale: str | None) -> Threshold:
        """Return the threshold for a run at `scale`."""
        scaled = self.scaled.get(scale or "")
        return self.threshold if scaled is None else scaled.threshold

    def scaled_at(self, scale: str | None) -> dict[str, Any] | None:
        """Return `Judged.scaled`: the plan's threshold and the reason, if `scale` has another."""
        scaled = self.scaled.get(scale or "")
        return None if scaled is None else {"plan": self.threshold, "reason": scaled.reason}

    @model_validator(mode="after")
    def _thresholds_fit_the_op(self) -> Self:
        for threshold in (self.threshold, *(s.threshold for s in self.scaled.values())):
            if isinstance(threshold, tuple) != (self.op == "between"):
                raise ValueError("op: between needs a range [low, high], other ops a number")
        return self


class Criterion(Bound):
    """One Go criterion. `claim` is in the plan's own words."""

    id: str
    claim: str
    metric: str
    unit: str
    decide_on: DecideOn
    min_n: int = Field(ge=1)
    min_items: int | None = Field(default=None, ge=1)  # compared with `Metric.items`
    severity: Literal["required", "advisory"] = "required"
    power: PowerAssumption | None = None  # affects no verdict and no digest of the criteria

    @model_validator(mode="after")
    def _check_decide_on(self) -> Criterion:
        """Refuse a criterion whose fields contradict each other or that is lenient."""
        allowed = {">=": "ci_low", ">": "ci_low", "<=": "ci_high", "<": "ci_high"}.get(self.op)
        if self.decide_on.startswith("ci_") and self.decide_on != allowed:
            raise ValueError(
                f"decide_on: {self.decide_on} with op {self.op} "
                + (f"is lenient; use {allowed}" if allowed else "cannot decide; use exact or point")
            )
        if self.power is not None and self.power.kind in ("proportion", "seed_spread"):
            allowed_ops = (
                ("<=", "<") if self.power.kind == "seed_spread" else ("<=", "<", ">=", ">")
            )
            if self.op not in allowed_ops:
                raise ValueError(f"power.kind: {self.power.kind} does not go with op {self.op}")
        return self


class Limit(Bound):
    """A bound on one value of a candidate; a candidate without that value does not satisfy it."""

    value: str


class Preference(Document):
    """Keep the remaining candidates with the smallest or largest value.

    With `within`, a candidate is kept if its value is no worse than the best candidate's `within`
    value, such as a bound of its interval: the data cannot distinguish the two.
    """

    value: str
    take: Literal["least", "most"]
    within: str | None = None


class Selection(Document):
    """A rule that selects one of the candidates that an experiment measured.

    A criterion whose metric has this name is judged on the number of candidates within all limits
    (`unit: count`) or their share (`unit: fraction`); 0 if the selected one is not confirmed.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    candidates: str  # table of the measurement
    rationale: str = Field(min_length=20)
    limits: list[Limit] = Field(min_length=1)
    prefer: list[Preference] = []  # applied in order; empty: candidates are only counted
    confirm: list[Limit] = []  # further limits on the selected candidate

    @model_validator(mode="after")
    def _confirm_needs_prefer(self) -> Selection:
        if self.confirm and not self.prefer:
            raise ValueError("confirm needs prefer, which selects a candidate")
        return self


class CriteriaFile(Document):
    """`criteria/NN_name.yaml`: the criteria of one experiment."""

    experiment: str = Field(pattern=r"^\d\d_[a-z0-9_]+$")
    title: str
    objective: str
    needs: list[str]  # experiments whose GO is required
    optional: bool = False
    launch_items: list[str] = []  # items of the launch checklist that it supports
    criteria: list[Criterion] = Field(min_length=1)
    selections: list[Selection] = []


class Judged(Document):
    """A criterion with its measured value and verdict."""

    id: str
    claim: str
    metric: str
    value: float | None
    unit: str
    n: int
    items: int | None = None
    ci: Interval | None
    provenance: Provenance
    op: Op
    threshold: Threshold  # at the scale of the run
    scaled: dict[str, Any] | None  # {"plan": plan's threshold, "reason": ...} if scaled
    severity: Literal["required", "advisory"]
    decide_on: DecideOn
    verdict: Verdict
    margin: float | None  # distance to the bound, positive on the passing side
    rationale: str
    reason: str  # of the verdict, one sentence
    evidence: list[str] = []
    waiver: dict[str, Any] | None = None


class JudgedLimit(Document):
    """A limit of a selection, with the number of candidates that satisfy it."""

    value: str
    op: Op
    threshold: Threshold  # at the scale of the run
    scaled: dict[str, Any] | None  # as in `Judged`
    rationale: str
    satisfied: int
    confirms: bool = False  # applies only to the selected candidate


class Selected(Document):
    """Result of a selection."""

    selected: str | None
    within: list[str]  # candidates that satisfy all limits, in the order of the measurement
    candidates: int
    limits: list[JudgedLimit]
    rationale: str
    reason: str  # of the result, one sentence


class Decision(Document):
    """Verdict on a measurement under the current criteria."""

    schema_version: int = SCHEMA_VERSION
    experiment: str
    run: str
    verdict: Literal["GO", "NO-GO"]
    criteria: list[Judged]
    selections: dict[str, Selected] = {}
    upstream: dict[str, Parent]
    digests: dict[str, str]  # evidence (measurement), criteria, waivers, decision (this document)
    environment: dict[str, Any]
    criteria_changed_after_measuring: bool


def decision_digest(decision: Decision) -> str:
    """Digest of the document without `digests.decision`."""
    document = decision.model_dump(mode="json")
    document["digests"].pop("decision", None)
    return digest_json(without_empty(document))


class Waiver(Document):
    """An accepted exception in `config/waivers.yaml`; invalid once the evidence changes."""

    run: str
    experiment: str
    criterion: str
    author: str = Field(min_length=1)
    reason: str = Field(min_length=20)
    expires: str  # ISO date, the last valid day
    evidence: str = Field(pattern=r"^[0-9a-f]{64}$")  # digest of the measurement it applies to

    @field_validator("expires")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError("not a date; write YYYY-MM-DD") from None
