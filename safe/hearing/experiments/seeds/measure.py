"""11 Seeds: variance of results over seeds, and identity of the frozen path.

Each training is a job (`jobs.py`). The seed sets the adapter's initial weights, the order of
examples and the sounds paired with VL examples. Base, audio encoder, examples, cache, threads and
held-out questions are the same for all seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from safe.errors import EvidenceError
from safe.gates.formatting import number
from safe.gates.schema import Derivation, Metric
from safe.gates.statistics import SeedComponents, sd_interval, seed_components
from safe.hearing.context import Context
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.seeds import METRICS, plots
from safe.hearing.experiments.seeds.plan import ITEMS, chosen, names, seed_of
from safe.pipeline.job_results import RESULT, read_job, read_rows

BUILDER = MetricBuilder(METRICS)
FIXED = (
    "base and audio encoder",
    "training rows",
    "feature cache",
    "threads",
    "held-out questions",
)
VARIED = ("first weights of the adapter", "order of examples", "sounds paired with VL examples")


@dataclass(frozen=True)
class SeedResult:
    """One training: its result.json and its held-out results."""

    name: str
    result: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]

    def answers(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return id -> row, for rows of a kind."""
        return {row["id"]: row for row in self.items if row["kind"] == kind}

    def share(self, kind: str, column: str = "right") -> float:
        rows = [row for row in self.items if row["kind"] == kind]
        return sum(bool(row[column]) for row in rows) / len(rows)


def measure(context: Context) -> list[Metric]:
    """Compare the trainings of all seeds."""
    config = context.config
    found = [_read(context, job) for job in names(config)]
    context.extra |= {"seeds": {f"training {f.name}": f.result["seed"] for f in found}}
    diverged = {f.name: f.result["diverged"] for f in found if f.result["diverged"]}
    why = _why_not(diverged, found)
    if why:
        return [BUILDER.missing(name, why, len(found)) for name in METRICS]
    table = [
        {
            "job": f.name,
            "seed": f.result["seed"],
            "audio_accuracy": f.share("audio"),
            "vl_accuracy": f.share("vl"),
            "base_vl_accuracy": f.share("vl", "base_right"),
            "final_loss": f.result["final_loss"],
            "adapter": f.result["adapter"],
            **{f"frozen {kind}": digest for kind, digest in f.result["frozen"].items()},
        }
        for f in found
    ]
    write_table(context, "seeds.parquet", table)
    plots.plot_seeds(context, table)
    detail = {"combination": found[0].result["cell"], "fixed": FIXED, "varied": VARIED}
    return [
        _deviation("audio_sd", [row["audio_accuracy"] for row in table], found, "audio", detail),
        _deviation("vl_sd", [row["vl_accuracy"] for row in table], found, "vl", detail),
        _frozen(found),
    ]


def _read(context: Context, job: str) -> SeedResult:
    place, result = read_job(context, job)
    _check(context, job, result, place)
    items = [] if result["diverged"] else read_rows(place, ITEMS)
    return SeedResult(job, result, items)


def _check(context: Context, job: str, result: Mapping[str, Any], place: Path) -> None:
    name, settings = chosen(context)
    wanted = {"seed": seed_of(context.config, job), "settings": settings.model_dump(mode="json")}
    for key, value in wanted.items():
        if result[key] != value:
            raise EvidenceError(
                f"{job} was trained with other {key} than the run now uses for {name}",
                where=place / RESULT,
                key=key,
                hint=f"delete the folder and run `safe run-job 11_seeds {job} --config ...`",
            )


def _why_not(diverged: Mapping[str, str], found: Sequence[SeedResult]) -> str | None:
    """Reason why these trainings cannot be used to estimate variance, or None."""
    if diverged:
        return "; ".join(f"{name} diverged: {text}" for name, text in diverged.items())
    for what, key in (
        ("ended with the same weights", "adapter"),
        ("saw the examples in the same order", "order"),
    ):
        values = [f.result[key] for f in found]
        if len(set(values)) < len(values):
            return f"two seeds {what}: the seed has no effect"
    if len({f.result["rows"] for f in found}) > 1:
        return "the seeds were trained on different examples, so more than the seed varies"
    return None


def _deviation(
    name: str,
    values: Sequence[float],
    found: Sequence[SeedResult],
    kind: str,
    detail: Mapping[str, Any],
) -> Metric:
    """Sample standard deviation over seeds, with its interval."""
    try:
        interval = sd_interval(values)
    except ValueError:
        interval = None  # undefined if all values are equal
    return BUILDER.measured(
        name,
        stdev(values),
        len(values),
        items=min(sum(row["kind"] == kind for row in seed.items) for seed in found),
        ci=interval,
        per_item="seeds.parquet",
        derivation=Derivation(statistic="sd", columns=[f"{kind}_accuracy"]),
        detail={
            "accuracy": {f.name: value for f, value in zip(found, values, strict=True)},
            "questions": sum(row["kind"] == kind for row in found[0].items),
            "gate": "ON" if kind == "audio" else "ON, with unrelated sounds",
            **_components(found, kind),
            **detail,
        },
    )


def _components(found: Sequence[SeedResult], kind: str) -> dict[str, Any]:
    """Split the variance of accuracy into item noise and spread between seeds."""
    answers = [seed.answers(kind) for seed in found]
    ids = sorted(answers[0])
    if any(sorted(each) != ids for each in answers):
        raise EvidenceError(
            "the seeds were evaluated on different questions, so their answers cannot be compared",
            where=ITEMS,
            hint="delete 11_seeds/jobs and start the run again",
        )
    scores = [[float(each[i]["right"]) for i in ids] for each in answers]
    try:
        components = seed_components(scores, [answers[0][i]["source"] for i in ids])
    except ValueError as error:
        return {"summary": f"The spread cannot be split into its parts: {error}."}
    return {"summary": _summary(components), "components": components.as_dict()}


def _summary(found: SeedComponents) -> str:
    """Summary for the page and `safe explain`: components of the spread, and what reduces it."""
    values = found.as_dict()
    sources = f" from {found.clusters:,} sources" if found.clusters < found.items else ""
    parts = (
        f"The standard deviation over {found.seeds} seeds, {number(values['sd'])}, combines item "
        f"noise of {number(values['item_noise_sd'])} ({found.items:,} items{sources}) and a spread "
        f"between seeds of {number(values['between_seeds_sd'])}"
    )
    if found.total == 0:
        return f"{parts}: all seeds have the same accuracy."
    if found.between > found.item_noise:
        advice = "longer or steadier training reduces the larger part, more items do not"
    else:
        advice = "more items reduce the larger part"
    return f"{parts}; {advice}. More seeds do not reduce it, they only estimate it better."


def _frozen(found: Sequence[SeedResult]) -> Metric:
    """Number of seeds whose frozen path's outputs differ from the first seed's."""
    first = found[0].result["frozen"]
    differ = {
        f.name: [kind for kind in first if f.result["frozen"].get(kind) != first[kind]]
        for f in found[1:]
    }
    return BUILDER.measured(
        "frozen_checksums",
        sum(bool(kinds) for kinds in differ.values()),
        len(found),
        per_item="seeds.parquet",
        detail={
            "of": "logits with the gate OFF, image tokens and the audio encoder's features, "
            "computed again after every training",
            "differ": {name: kinds for name, kinds in differ.items() if kinds},
            "processes": len({f.result["process"] for f in found}),
            "digests": dict(first),
        },
    )
