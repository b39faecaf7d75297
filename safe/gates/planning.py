"""`safe power`: criteria that a run of the planned size can decide, before it starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from safe.gates.bounds import satisfies
from safe.gates.documents import read_measurement
from safe.gates.formatting import number
from safe.gates.power import (
    ENOUGH,
    MOST_ITEMS,
    MOST_SEEDS,
    largest_spread,
    mean_power,
    proportion_power,
    seed_spread_power,
    smallest,
)
from safe.gates.schema import (
    CriteriaFile,
    Criterion,
    Measurement,
    Metric,
    PowerAssumption,
    Threshold,
)

PowerVerdict = Literal["decides", "by luck", "cannot be decided", "exact", "unknown"]
Needed = int | Literal["none"] | None  # "none": no number is enough; None: not applicable
NAMED = 3  # number of criteria named in the summary
NO_ASSUMPTION = "no earlier run, and the criterion has no `power` block"
NO_KIND = "the criterion has no `power` block"


@dataclass(frozen=True, slots=True)
class Planned:
    """Size of a measurement under a config.

    Attributes:
        n: number of samples of the measurement, compared with `min_n`; None if not known.
        items: number of independently sampled items, if it differs from n.
        seeds: number of trainings with different seeds.
        source: origin of the numbers.
    """

    n: int | None = None
    items: int | None = None
    seeds: int | None = None
    source: str = ""

    @property
    def sampled(self) -> int | None:
        return self.n if self.items is None else self.items


@dataclass(frozen=True, slots=True)
class PowerRow:
    """Power analysis of one criterion.

    Attributes:
        required: whether launch depends on it.
        probability: probability of a pass if the true value is `expected`; None if not known.
        items, seeds: planned numbers.
        item_sd, run_sd: standard deviations used for the probability.
        items_needed, seeds_needed: smallest number for 99 %, with all else as planned.
    """

    id: str
    experiment: str
    required: bool
    verdict: PowerVerdict
    reason: str
    kind: str | None = None
    probability: float | None = None
    n: int | None = None
    items: int | None = None
    seeds: int | None = None
    expected: float | None = None
    item_sd: float | None = None
    run_sd: float | None = None
    items_needed: Needed = None
    seeds_needed: Needed = None
    n_source: str = ""

    @property
    def open(self) -> bool:
        """Whether the criterion is required and not decided."""
        return self.required and self.verdict in ("by luck", "cannot be decided")


@dataclass(frozen=True, slots=True)
class PowerReport:
    """Power analysis of all criteria of a run.

    Attributes:
        run: folder of the earlier run whose measurements are used.
        measured: experiments with a measurement in `run`.
    """

    run: Path
    measured: list[str]
    rows: list[PowerRow]

    @property
    def open(self) -> list[PowerRow]:
        """Required criteria that the planned run does not decide."""
        return [row for row in self.rows if row.open]

    @property
    def undecidable(self) -> list[PowerRow]:
        """Those of `open` that cannot be decided, whatever the true value is."""
        return [row for row in self.open if row.verdict == "cannot be decided"]

    def as_text(self) -> str:
        """Return the source of the numbers, a table and a summary as text."""
        if self.measured:
            basis = f"expected values from {self.run} ({len(self.measured)} measurements)"
        else:
            basis = f"no earlier run in {self.run}: expected values from the criteria's assumptions"
        return "\n".join([basis, as_table(self.rows), summary(self.rows)])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "run": str(self.run),
            "measured": self.measured,
            "summary": summary(self.rows),
            "decided": not self.open,
            "criteria": [asdict(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class _Truth:
    """Assumed value and its variation, with their source in `basis`."""

    expected: float | None
    item_sd: float | None
    run_sd: float | None
    design: float
    sampled: int | None
    basis: str


def read_last(folder: Path, experiments: Iterable[str]) -> dict[str, Measurement]:
    """Read the existing measurements of an earlier run, by experiment.

    Raises:
        EvidenceError: a measurement cannot be read.
    """
    paths = {name: folder / name / "measurement.json" for name in experiments}
    return {name: read_measurement(path) for name, path in paths.items() if path.is_file()}


def assess_all(
    files: Iterable[CriteriaFile],
    planned: Mapping[tuple[str, str], Planned],
    last: Mapping[str, Measurement],
    scale: str,
) -> list[PowerRow]:
    """Return one row per criterion, in the order of the criteria files.

    Args:
        planned: by (experiment, metric).
        last: measurements of the last run, by experiment.
    """
    rows = []
    for criteria in files:
        metrics = last[criteria.experiment].metrics if criteria.experiment in last else []
        for criterion in criteria.criteria:
            found = [m for m in metrics if m.name == criterion.metric]
            row = assess(
                criterion,
                planned.get((criteria.experiment, criterion.metric), Planned()),
                found[0] if len(found) == 1 else None,
                scale,
            )
            required = row.required and not criteria.optional
            rows.append(replace(row, experiment=criteria.experiment, required=required))
    return rows


def assess(criterion: Criterion, planned: Planned, measured: Metric | None, scale: str) -> PowerRow:
    """Return the row of one criterion, with `experiment` left empty."""
    if measured is not None and (
        measured.provenance != "measured"
        or measured.value is None
        or measured.unit != criterion.unit
        or measured.n < 1
    ):
        measured = None
    threshold = criterion.threshold_at(scale)
    power = criterion.power
    kind = power.kind if power is not None else _inferred_kind(criterion, measured)
    draft = PowerRow(
        id=criterion.id,
        experiment="",
        required=criterion.severity == "required",
        verdict="unknown",
        reason="",
        kind=kind,
        n=planned.n,
        items=planned.items,
        seeds=planned.seeds,
        n_source=planned.source,
    )
    needed = criterion.min_items
    if planned.items is not None and needed is not None and planned.items < needed:
        why = f"{planned.items:,} items are below min_items = {needed:,}"
        return replace(draft, verdict="cannot be decided", reason=why)
    if planned.n is not None and planned.n < criterion.min_n:
        why = f"n = {planned.n:,} is below min_n = {criterion.min_n:,}"
        return replace(draft, verdict="cannot be decided", reason=why)
    if kind is None:
        return replace(draft, reason=NO_ASSUMPTION if measured is None else NO_KIND)
    applies = power is not None and power.scale in (None, scale)
    if kind == "exact":
        assert power is not None
        if not applies:
            return replace(draft, reason=f"exact only in runs of scale {power.scale}")
        return replace(draft, verdict="exact", reason=power.reason)
    if kind == "count":
        if power is None or power.probability is None or not applies:
            why = "no probability is assumed" + ("" if power is None else f". {power.reason}")
            return replace(draft, reason=why)
        verdict: PowerVerdict = "decides" if power.probability >= ENOUGH else "by luck"
        return replace(draft, probability=power.probability, verdict=verdict, reason=power.reason)
    truth = _truth(kind, criterion, power if applies else None, planned, measured)
    if isinstance(truth, str):
        if power is not None and not applies:
            truth += f"; the assumption is for scale: {power.scale}"
        return replace(draft, reason=truth)
    draft = replace(draft, expected=truth.expected, item_sd=truth.item_sd, run_sd=truth.run_sd)
    return _judged(draft, kind, criterion, threshold, truth, power)


def _inferred_kind(criterion: Criterion, measured: Metric | None) -> str | None:
    """Infer the kind from the interval of the last run, for criteria without a `power` block."""
    if measured is None or measured.ci is None or not criterion.decide_on.startswith("ci_"):
        return None
    return "proportion" if measured.ci.method in ("wilson", "clopper-pearson") else "mean"


# -- assumptions ----------------------------------------------------------------------------------


def _truth(
    kind: str,
    criterion: Criterion,
    assumed: PowerAssumption | None,
    planned: Planned,
    measured: Metric | None,
) -> _Truth | str:
    """Return the inputs of the probability, or a message that states which one is missing."""
    if kind == "seed_spread":
        return _spread_truth(assumed, planned, measured)
    expected = assumed.expected if assumed else None
    item_sd = assumed.item_sd if assumed else None
    run_sd = assumed.run_sd if assumed else None
    design = assumed.design if assumed else 1.0
    basis, sampled = "assumed", planned.sampled
    if measured is not None:
        assert measured.value is not None
        expected, basis = measured.value, "last run"
        sampled = sampled or measured.n
        if kind == "mean" and measured.ci is not None:
            item_sd, design = _item_sd(criterion, measured), 1.0
    if expected is None:
        return "no earlier run, and no expected value is assumed"
    needs_items = criterion.decide_on.startswith("ci_") or run_sd is None
    if kind == "mean" and item_sd is None and needs_items:
        return "neither an interval of an earlier run nor an assumed standard deviation"
    if sampled is None and (kind == "proportion" or item_sd):
        return "the planned number of items is not known before the data are prepared"
    return _Truth(expected, item_sd, run_sd, design, sampled, basis)


def _item_sd(criterion: Criterion, measured: Metric) -> float:
    """Compute the standard deviation per item, clustering included, from an interval's width."""
    assert measured.ci is not None
    assert measured.value is not None
    half = {
        "ci_low": measured.value - measured.ci.low,
        "ci_high": measured.ci.high - measured.value,
    }.get(criterion.decide_on, (measured.ci.high - measured.ci.low) / 2)
    z = NormalDist().inv_cdf((1 + measured.ci.level) / 2)
    return max(0.0, half) / z * math.sqrt(measured.n)


def _spread_truth(
    assumed: PowerAssumption | None, planned: Planned, measured: Metric | None
) -> _Truth | str:
    """Combine the item noise of the last run with the larger spread between seeds.

    A few seeds estimate the spread between seeds imprecisely, so an estimate replaces the
    assumption only if it is larger.
    """
    item_sd = assumed.item_sd if assumed else None
    run_sd = assumed.run_sd if assumed else None
    design, sampled, basis = assumed.design if assumed else 1.0, planned.items, "assumed"
    parts = {} if measured is None else measured.detail.get("components", {})
    try:
        noise, between = float(parts["item_noise"]), float(parts["between"])
        items = int(parts["items"])
    except (KeyError, TypeError, ValueError):
        pass  # no components, for example in an old measurement
    else:
        if run_sd is not None and item_sd is None:  # the assumption includes item noise
            run_sd = math.sqrt(max(0.0, run_sd**2 - noise))
        item_sd, design = math.sqrt(noise * items), 1.0
        sampled = sampled or items
        found = math.sqrt(between)
        larger = run_sd is None or found > run_sd
        run_sd = found if larger or run_sd is None else run_sd
        basis = "last run" if larger else "item noise of the last run, between seeds assumed"
    if run_sd is None:
        return "no earlier run with variance components, and no spread between seeds is assumed"
    if planned.seeds is None:
        return "the planned number of seeds is not known"
    if sampled is None and item_sd:
        return "the planned number of items is not known before the data are prepared"
    return _Truth(None, item_sd, run_sd, design, sampled, basis)


# -- probabilities --------------------------------------------------------------------------------


def _judged(
    draft: PowerRow,
    kind: str,
    criterion: Criterion,
    threshold: Threshold,
    truth: _Truth,
    power: PowerAssumption | None,
) -> PowerRow:
    if kind == "seed_spread":
        assert not isinstance(threshold, tuple)
        return _judged_spread(draft, threshold, truth)
    op, decide_on = criterion.op, criterion.decide_on
    run_sd, expected = truth.run_sd or 0.0, truth.expected
    assert expected is not None

    def at(n: int) -> float | None:
        if kind == "mean":
            return mean_power(
                n, expected, op, threshold, decide_on,
                item_sd=truth.item_sd or 0.0, run_sd=run_sd, design=truth.design,
            )  # fmt: skip
        assert not isinstance(threshold, tuple)
        return proportion_power(
            n, expected, op, threshold, decide_on,
            run_sd=run_sd, design=truth.design, interval=power.interval if power else "wilson",
        )  # fmt: skip

    probability = at(truth.sampled or 1)
    needs_items = kind == "proportion" or bool(truth.item_sd)
    needed: Needed = None
    if needs_items:
        needed = smallest(at, criterion.min_n, MOST_ITEMS) or "none"
    if probability is None:
        fewest = smallest(lambda n: float(_some_outcome_passes(at, n)), 1, MOST_ITEMS)
        why = f"no outcome of {truth.sampled or 0:,} items passes" + (
            "" if fewest is None else f"; at least {fewest:,} are needed"
        )
        return replace(draft, verdict="cannot be decided", reason=why, items_needed=needed)
    spread = "" if truth.run_sd is not None else "; spread between runs not included"
    reason = f"expects {_text(expected)} ({truth.basis}){spread}"
    if not satisfies(expected, op, threshold):
        reason = f"expects {_text(expected)} ({truth.basis}), which misses the bound{spread}"
    elif probability < ENOUGH and needed == "none":
        reason += "; the spread between runs alone is too large"
    elif probability < ENOUGH and not needs_items:
        reason += f"; the spread between runs, {_text(run_sd)}, is too large"
    return replace(
        draft,
        verdict="decides" if probability >= ENOUGH else "by luck",
        probability=probability,
        reason=reason,
        items_needed=needed,
    )


def _some_outcome_passes(at: Callable[[int], float | None], n: int) -> bool:
    return at(n) is not None


def _judged_spread(draft: PowerRow, bound: float, truth: _Truth) -> PowerRow:
    seeds, items = draft.seeds, truth.sampled or 1
    assert seeds is not None
    assert truth.run_sd is not None
    item_sd, run_sd, design = truth.item_sd or 0.0, truth.run_sd, truth.design

    def at(seeds: int, items: float) -> float:
        return seed_spread_power(seeds, items, bound, item_sd=item_sd, run_sd=run_sd, design=design)

    probability = at(seeds, items)
    noise = item_sd * math.sqrt(design / items)
    sigma, most = math.hypot(run_sd, noise), largest_spread(seeds, bound)
    parts = f"item noise {_text(noise)}, between seeds {_text(run_sd)}"
    if truth.item_sd is None:
        parts = "item noise is not known separately"
    reason = (
        f"expects a true spread of {_text(sigma)} ({truth.basis}; {parts}); "
        f"99 % with {seeds} seeds needs at most {_text(most)}"
    )
    items_needed: Needed = None
    if truth.item_sd is not None:
        items_needed = smallest(lambda n: at(seeds, n), 1, MOST_ITEMS) or "none"
        if items_needed == "none":
            reason += "; no number of items is enough"
    return replace(
        draft,
        items=truth.sampled,
        verdict="decides" if probability >= ENOUGH else "by luck",
        probability=probability,
        reason=reason,
        items_needed=items_needed,
        seeds_needed=smallest(lambda k: at(k, items), 2, MOST_SEEDS) or "none",
    )


def _text(value: float) -> str:
    return number(float(f"{value:.3g}"))


# -- output ---------------------------------------------------------------------------------------

COLUMNS = (
    "verdict",
    "criterion",
    "P(pass)",
    "n",
    "seeds",
    "items for 99 %",
    "seeds for 99 %",
    "why",
)


def percent(probability: float) -> str:
    """Format as `62 %`, with enough digits not to round up to 99 or 100."""
    if probability in (0.0, 1.0):
        return f"{probability:.0%}".replace("%", " %")
    for digits in range(5):
        text = f"{100 * probability:.{digits}f}"
        if probability < ENOUGH and float(text) < 100 * ENOUGH:
            return f"{text} %"
        if probability >= ENOUGH and float(text) < 100:
            return f"{text} %"
    return "> 99.99 %"


def as_table(rows: Sequence[PowerRow]) -> str:
    """Format rows as an aligned table, with the reason as last column."""

    def cell(value: Needed) -> str:
        return "-" if value is None else value if isinstance(value, str) else f"{value:,}"

    lines = [COLUMNS]
    for row in rows:
        sampled = row.n if row.items is None else row.items
        lines.append(
            (
                row.verdict,
                row.id + ("" if row.required else " [not required]"),
                "-" if row.probability is None else percent(row.probability),
                cell(sampled),
                cell(row.seeds),
                cell(row.items_needed),
                cell(row.seeds_needed),
                row.reason,
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    numeric = range(2, len(COLUMNS) - 1)
    return "\n".join(
        "  ".join(
            [*(v.rjust(w) if i in numeric else v.ljust(w)
               for i, (v, w) in enumerate(zip(line, widths, strict=False))), line[-1]]
        )
        for line in lines
    )  # fmt: skip


def summary(rows: Sequence[PowerRow]) -> str:
    """Return one line: the number of decided criteria, and required ones that are not decided."""
    decided = sum(row.verdict in ("decides", "exact") for row in rows)
    unknown = sum(row.verdict == "unknown" for row in rows)
    undecided = [row for row in rows if row.open]
    parts = [f"{decided} of {len(rows)} criteria decided with >= 99 %"]
    for row in undecided[:NAMED]:
        if row.probability is None:
            parts.append(f"{row.id} cannot be decided ({row.reason})")
        else:
            parts.append(f"{row.id} passes by luck ({percent(row.probability)})")
    if len(undecided) > NAMED:
        parts.append(f"{len(undecided) - NAMED} more required criteria by luck or not at all")
    if unknown:
        parts.append(f"{unknown} unknown")
    return "power: " + "; ".join(parts)
