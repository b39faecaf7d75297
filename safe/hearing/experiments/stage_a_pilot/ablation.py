"""The ablation of experiment 04: what each size gains, and how far it is behind the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from safe.gates.schema import Candidate, Interval
from safe.gates.statistics import paired_difference
from safe.hearing.config import RunConfig
from safe.hearing.experiments.stage_a_pilot.evaluator import Job, PilotEvaluator

PAIRS = 20  # minimum number of timed single questions per cell
Right = Mapping[str, bool]  # sample id -> answered correctly


def compare_cells(
    config: RunConfig, evaluator: PilotEvaluator, jobs: Mapping[str, Job], base: Right
) -> list[dict[str, Any]]:
    """One row for each configuration; a diverged one has the reason and no bounds."""
    cells = {name: job for name, job in jobs.items() if name.startswith("k")}
    right: dict[str, Right] = {
        name: {i["id"]: i["correct"] for i in job.items("audio val")}
        for name, job in cells.items()
        if job.why_not is None
    }
    best = max(right, key=lambda name: sum(right[name].values()), default="")
    table = []
    for name, job in cells.items():
        row: dict[str, Any] = {
            "config": name,
            "audio_tokens": job.result["adapter"]["audio_tokens"],
            "rank": job.result["adapter"]["lora"]["rank"],
            "parameters": job.result["parameters"],
            "diverged": job.why_not,
            "best": name == best,
            "gain_low": None,
            "behind_best_high": None,
        }
        if name in right:
            row |= _cell(config, evaluator, job, right[name], right[best], base)
        table.append(row)
    return table


def as_candidates(table: Sequence[Mapping[str, Any]]) -> list[Candidate]:
    """The configurations, for the judge to select the smallest."""
    values = ("parameters", "gain_low", "behind_best_high")
    return [
        Candidate(name=row["config"], values={v: row[v] for v in values}, note=row["diverged"])
        for row in table
    ]


def _cell(
    config: RunConfig, evaluator: PilotEvaluator, job: Job, mine: Right, best: Right, base: Right
) -> dict[str, Any]:
    ids = [i for i in mine if i in base]
    gain = _interval([mine[i] for i in ids], [base[i] for i in ids], ids, evaluator, config.seed)
    behind = _interval(
        [best[i] for i in ids], [mine[i] for i in ids], ids, evaluator, config.seed, mine is best
    )
    times = evaluator.times(evaluator.open(job), PAIRS)
    right, asked = job.result["held_out"]["vl"]
    return {
        "accuracy": sum(mine.values()) / len(mine),
        "items": len(mine),
        "gain_low": gain.low if gain else None,
        "behind_best_high": behind.high if behind else None,
        "vl_accuracy_on": right / asked if asked else None,
        "peak_memory_bytes": job.result["peak_memory_bytes"],
        "training_seconds": job.result["seconds"],
        "latency_ms": 1000 * median(row["uncached"] for row in times),
        "latency_ms_cached": 1000 * median(row["cached"] for row in times),
    }


def _interval(
    ours: list[bool],
    theirs: list[bool],
    ids: list[str],
    evaluator: PilotEvaluator,
    seed: int,
    identical: bool = False,
) -> Interval | None:
    """Interval of mean(ours - theirs), resampled by clip; None if it cannot be estimated."""
    try:
        return paired_difference(
            [float(o) for o in ours],
            [float(t) for t in theirs],
            seed=seed,
            clusters=[evaluator.sources[i] for i in ids],
            identical_outputs=identical,
        )
    except ValueError:
        return None
