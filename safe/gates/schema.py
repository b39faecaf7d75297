"""The documents that a number travels through: Measurement, Criterion, Decision, waiver."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

SCHEMA_VERSION = 1

Provenance = Literal["measured", "estimated", "simulated", "unavailable"]
Verdict = Literal["pass", "fail", "inconclusive", "unavailable", "error", "waived"]
Status = Literal["go", "no-go", "blocked", "stale", "not-run", "waived"]
Op = Literal["<=", "<", ">=", ">", "==", "between"]
DecideOn = Literal["point", "ci_low", "ci_high", "exact"]
Threshold = float | tuple[float, float]


class Document(BaseModel):
    """Strict, immutable, and closed: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _finite(value: float | None) -> float | None:
    # JSON has no NaN; a metric that came out NaN or infinite says so in `detail` instead.
    return None if value is None or not math.isfinite(value) else value


FiniteOrNone = Annotated[float | None, AfterValidator(_finite)]


class Interval(Document):
    """A confidence interval. `method` names the procedure, e.g. `wilson`, `paired bootstrap`."""

    low: float
    high: float
    level: float = 0.95
    method: str


class Metric(Document):
    """One measured number.

    `value` is None when the number is not finite or not available; `reason` then says why.
    `per_item` is a Parquet file relative to the experiment's folder.
    """

    name: str
    value: FiniteOrNone
    unit: str
    n: int = Field(ge=0)
    provenance: Provenance
    ci: Interval | None = None
    per_item: str | None = None
    reason: str | None = None
    detail: dict[str, Any] = {}


class Parent(Document):
    """The upstream decision an experiment was measured under."""

    decision: str  # digest of the decision document
    evidence: str  # digest of the measurement it judged
    verdict: Literal["GO", "NO-GO"]


class Measurement(Document):
    """What one experiment saw, and everything needed to trace it."""

    schema_version: int = SCHEMA_VERSION
    experiment: str
    run: str
    metrics: list[Metric]
    digests: dict[str, str]  # data, code, config, criteria, weights
    upstream: dict[str, Parent] = {}
    environment: dict[str, Any]  # packages, host, device, git commit and dirty flag
    seeds: dict[str, int]
    started: str  # ISO 8601, UTC
    duration_s: float
    device_s: float
    peak_memory_bytes: int
    plots: list[str] = []  # files below the experiment's folder
    evidence: list[str] = []


class Scaled(Document):
    """Another threshold for runs of one `scale`, with the reason a reviewer is asked to accept."""

    threshold: Threshold
    reason: str = Field(min_length=20)


class Criterion(Document):
    """One Go criterion. `claim` is in the plan's own words."""

    id: str
    claim: str
    metric: str
    op: Op
    threshold: Threshold
    unit: str
    decide_on: DecideOn
    min_n: int = Field(ge=1)
    severity: Literal["required", "advisory"] = "required"
    rationale: str = Field(min_length=20)
    scaled: dict[str, Scaled] = {}

    @field_validator("threshold")
    @classmethod
    def _threshold_is_finite(cls, value: Threshold) -> Threshold:
        for bound in value if isinstance(value, tuple) else (value,):
            if not math.isfinite(bound):
                raise ValueError("a threshold must be a finite number")
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError("the lower bound stands above the upper one")
        return value


class CriteriaFile(Document):
    """`config/criteria/NN_name.yaml`: what one experiment must show before others may run."""

    experiment: str = Field(pattern=r"^\d\d_[a-z0-9_]+$")
    title: str
    objective: str
    needs: list[str]  # experiments whose GO is required
    optional: bool = False
    launch_items: list[str] = []  # the launch checklist items this experiment supports
    criteria: list[Criterion] = Field(min_length=1)


class Judged(Document):
    """A criterion with the number it was held against, and the verdict."""

    id: str
    claim: str
    metric: str
    value: float | None
    unit: str
    n: int
    ci: Interval | None
    provenance: Provenance
    op: Op
    threshold: Threshold  # the one that decided
    scaled: dict[str, Any] | None  # {"plan": plan's threshold, "reason": ...} where scaled
    severity: Literal["required", "advisory"]
    decide_on: DecideOn
    verdict: Verdict
    margin: float | None  # distance to the bound, positive on the passing side
    rationale: str
    reason: str  # one sentence: why this verdict
    evidence: list[str] = []
    waiver: dict[str, Any] | None = None


class Decision(Document):
    """What a measurement means under the criteria as they stand."""

    schema_version: int = SCHEMA_VERSION
    experiment: str
    run: str
    verdict: Literal["GO", "NO-GO"]
    criteria: list[Judged]
    upstream: dict[str, Parent]
    digests: dict[str, str]  # evidence (measurement), criteria, waivers; digest of this document
    environment: dict[str, Any]
    criteria_changed_after_measuring: bool


class Waiver(Document):
    """An accepted exception in `config/waivers.yaml`; dies when the evidence changes."""

    run: str
    experiment: str
    criterion: str
    author: str = Field(min_length=1)
    reason: str = Field(min_length=20)
    expires: str  # ISO date
    evidence: str  # digest of the measurement it was made for
