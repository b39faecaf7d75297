"""09 Retention: which methods preserve VL accuracy during audio training?

Each training is a job (`jobs.py`). Drift is KL(base || SAFE) per answer token on held-out VL
examples with the gate ON and unrelated sounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from safe.gates.schema import Candidate, Interval, Metric
from safe.gates.statistics import paired_difference, ratio_bootstrap
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.retention import METRICS, plots
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.jobs import DRIFT, ITEMS
from safe.hearing.experiments.retention.plan import lambdas, names, variants
from safe.hearing.models.full_size import PLAN_ADAPTER, build_full_size
from safe.hearing.training.null_space import what_fits
from safe.pipeline.job_results import read_job, read_rows

BUILDER = MetricBuilder(METRICS)
LEAST_LEFT = 0.1  # share of the base's correct answers that a baseline must still have
NOTHING = 1e-4  # nats per answer token: rounding error of a model compared with itself
Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Trained:
    """One job: its result.json and its held-out results."""

    name: str
    result: Mapping[str, Any]
    items: Items
    drift: Items

    @property
    def why_not(self) -> str | None:
        """Reason why the job cannot be compared if a seed diverged, else None."""
        broken = self.result["diverged"]
        return f"{self.name} diverged: {'; '.join(broken.values())}" if broken else None

    @property
    def seeds(self) -> list[int]:
        return [int(seed) for seed in self.result["seeds"]]

    def of(self, kind: str, seed: int | None = None) -> list[Mapping[str, Any]]:
        """Rows of a kind (`vl`, `audio`), for one seed or all, in a fixed order."""
        found = [
            row
            for row in self.items
            if row["kind"] == kind and (seed is None or row["seed"] == seed)
        ]
        return sorted(found, key=lambda row: (row["seed"], row["id"]))


def measure(context: Context) -> list[Metric]:
    """Compare the trained jobs."""
    config = context.config
    found = {name: _read(context, name) for name in names(config)}
    context.extra |= {"seeds": {f"training {n}": s for n, s in enumerate(found["none"].seeds)}}
    table = [_summary(config, job) for job in found.values()]
    write_table(context, "variants.parquet", table)
    plots.over_steps(context, {name: job.drift for name, job in found.items()})
    plots.frontier(context, table)
    _offer_weights(context, found)
    return [
        _distillation(config, found, table),
        _null_space(config, found, "null_space", "none"),
        _null_space(config, found, "null_space_distilled", "distilled"),
    ]


def _read(context: Context, name: str) -> Trained:
    folder, result = read_job(context, name)
    items, drift = (read_rows(folder, file) for file in (ITEMS, DRIFT))
    return Trained(name, result, items, drift)


def _summary(config: RunConfig, job: Trained) -> dict[str, Any]:
    """One table row per job: means over rows and seeds; None if every seed diverged."""
    vl_examples, audio_examples = job.of("vl"), job.of("audio")
    settings = job.result["settings"]
    return {
        "job": job.name,
        "distillation": settings["distillation"],
        "null_space": settings["null_space"],
        "fisher": settings["fisher"],
        "seeds_that_diverged": len(job.result["diverged"]),
        "drift": _mean(vl_examples, "drift"),
        "vl_accuracy": _mean(vl_examples, "right"),
        "base_accuracy": _mean(vl_examples, "base_right"),
        "audio_accuracy": _mean(audio_examples, "right"),
    }


def _mean(rows: Items, column: str) -> float | None:
    return sum(float(row[column]) for row in rows) / len(rows) if rows else None


# -- distillation ---------------------------------------------------------------------------------


def _distillation(config: RunConfig, found: Mapping[str, Trained], table: Items) -> Metric:
    """One minus the ratio of the drifts; the seed with the lowest lower bound decides."""
    without, held = found["none"], found["distilled"]
    why = without.why_not or held.why_not or _vacuous(without, held)
    if why:
        return BUILDER.missing("distillation", why)
    by_seed: dict[int, tuple[float, Interval]] = {}
    for seed in held.seeds:
        one, other = held.of("vl", seed), without.of("vl", seed)
        try:
            by_seed[seed] = _reduction(one, other, config.seed)
        except ValueError as error:
            return BUILDER.missing("distillation", f"seed {seed}: {error}", len(one))
    decides = min(by_seed, key=lambda seed: by_seed[seed][1].low)
    value, interval = by_seed[decides]
    base = {row["job"]: row for row in table}
    return BUILDER.measured(
        "distillation",
        value,
        len(without.of("vl", decides)),
        ci=interval,
        per_item="variants.parquet",
        detail={
            "decided_by_seed": decides,
            "by_seed": {str(s): [v, i.low, i.high] for s, (v, i) in by_seed.items()},
            "drift": {name: row["drift"] for name, row in base.items()},
            "vl_accuracy": {name: row["vl_accuracy"] for name, row in base.items()},
            "audio_accuracy": {name: row["audio_accuracy"] for name, row in base.items()},
            "variants": variants(config),
        },
    )


def _vacuous(without: Trained, held: Trained) -> str | None:
    """Reason why comparing these two jobs is meaningless, or None."""
    for seed in held.seeds:
        if held.result["penalty"][str(seed)] < NOTHING:
            return (
                f"the distillation of seed {seed} was nearly 0 in every step: teacher and student "
                "are equal, or its examples were evaluated with the gate OFF"
            )
        if all(row["drift"] < NOTHING for row in without.of("vl", seed)):
            return (
                f"nothing drifts without distillation (seed {seed}): teacher and student are the "
                "same, or the examples were evaluated with the gate OFF"
            )
    return None


def _reduction(held: Items, without: Items, seed: int) -> tuple[float, Interval]:
    """Return 1 - ratio of mean drifts, and its interval; paired items, resampled by picture."""
    top, bottom = [r["drift"] for r in held], [r["drift"] for r in without]
    clusters = [row["source"] for row in without]
    ratio = ratio_bootstrap(top, bottom, seed=seed, clusters=clusters)
    interval = ratio.model_copy(update={"low": 1 - ratio.high, "high": 1 - ratio.low})
    return 1 - sum(top) / sum(bottom), interval


# -- null space -----------------------------------------------------------------------------------


def _null_space(config: RunConfig, found: Mapping[str, Trained], name: str, bare: str) -> Metric:
    """VL accuracy of variant `bare` minus that of the same variant with the projection."""
    without = found[bare]
    held = found["null_space" if bare == "none" else f"{bare}-null_space"]
    why = without.why_not or held.why_not or _nothing_left(without)
    if why:
        return BUILDER.missing(name, why)
    one, other = without.of("vl"), held.of("vl")
    return BUILDER.difference(
        name,
        [row["right"] for row in one],
        [row["right"] for row in other],
        [row["source"] for row in one],
        seed=config.seed,
        per_item="variants.parquet",
        detail={
            "compared": f"{held.name} against {without.name}",
            "in_training": held.result["null_space"],
            "full_size": _full_size(config),
        },
    )


def _nothing_left(without: Trained) -> str | None:
    """Reason why `without` is no usable baseline if it forgot nearly everything, else None."""
    rows = without.of("vl")
    left, known = (sum(bool(row[c]) for row in rows) for c in ("right", "base_right"))
    if left >= LEAST_LEFT * known:
        return None
    return (
        f"{without.name} answers {left} of the {known} VL questions that the base answers: too "
        "few for the projection to lose; train for fewer steps or with lower learning rates"
    )


def _full_size(config: RunConfig) -> dict[str, Any]:
    """Null-space basis that fits the budget at BLIP-2 OPT-2.7B, k = 8, r = 8."""
    model = build_full_size()
    weights = sum(p.numel() for p in model.trainable().values())
    budget = config.stage_a.null_space_gb
    fit = what_fits(
        weights,
        round(budget * 2**30),
        rows=config.stage_a.retention_rows,
        directions=RetentionSettings.of(config).null_space,
    )
    adapter = f"k = {PLAN_ADAPTER.audio_tokens}, r = {PLAN_ADAPTER.lora.rank}"
    return {"adapter": adapter, "weights": weights, "budget_gb": budget, **asdict(fit)}


# -- the weight of distillation -------------------------------------------------------------------


def _offer_weights(context: Context, found: Mapping[str, Trained]) -> None:
    """The distillation weights, for the judge to select the least."""
    weights = lambdas(context.config)
    usable = {name: found[name] for name in weights if found[name].why_not is None}
    accuracy = {n: float(_mean(job.of("audio"), "right") or 0) for n, job in usable.items()}
    best = max(accuracy, key=lambda name: accuracy[name], default="")
    seed, rows = context.config.seed, []
    for name, weight in weights.items():
        values: dict[str, float | None] = {
            "weight": weight, "vl_drop_high": None, "audio_loss_high": None,
        }  # fmt: skip
        if name in usable:
            vl_examples, audio_examples = found[name].of("vl"), found[name].of("audio")
            ideal = [row["right"] for row in found[best].of("audio")]
            base = [row["base_right"] for row in vl_examples]
            values["vl_drop_high"] = _loss(seed, base, vl_examples)
            values["audio_loss_high"] = 0.0 if name == best else _loss(seed, ideal, audio_examples)
        rows.append(Candidate(name=name, values=values, note=found[name].why_not))
    fewest = min(
        (len(found[name].of(kind)) for name in usable for kind in ("vl", "audio")), default=0
    )
    context.offer("weights", rows, per_item="variants.parquet", items=fewest)


def _loss(seed: int, before: Sequence[bool], rows: Items) -> float:
    """Upper bound of the loss of accuracy on these rows."""
    interval = paired_difference(
        [float(right) for right in before],
        [float(row["right"]) for row in rows],
        seed=seed,
        clusters=[row["source"] for row in rows],
    )
    return float(interval.high)
