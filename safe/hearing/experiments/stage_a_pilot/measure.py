"""04 Stage-A pilot: gain and cost of audio training, and the smallest sufficient adapter.

Each training is a job (`jobs.py`). This module compares their answers with those of the base and of
a majority baseline, which gives the most common answer to each question type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safe.digest import digest_file
from safe.gates.schema import Metric
from safe.gates.statistics import ratio_bootstrap
from safe.hearing.artifacts import PILOT_BASE_ANSWERS
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.evaluation.learning import same_answer
from safe.hearing.evaluation.stability import judge_curve
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.stage_a_pilot import METRICS, plots
from safe.hearing.experiments.stage_a_pilot.ablation import as_candidates, compare_cells
from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.hearing.experiments.stage_a_pilot.evaluator import MODES, Job, PilotEvaluator, read_jobs
from safe.hearing.models.full_size import build_full_size, count_answer
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.pipeline.job_results import RESULT

BUILDER = MetricBuilder(METRICS)
ANSWERS, VL, CELLS = "audio.parquet", "vl.parquet", "cells.parquet"


def measure(context: Context) -> list[Metric]:
    """Compare the trained models with the base on held-out examples."""
    config = context.config
    use_threads(config)
    jobs = read_jobs(config, context.folder)
    pilot = jobs["distilled"]
    opened = open_base(config)
    context.digests |= opened.digests | {"manifest": digest_file(context.manifest)}
    for name, job in jobs.items():
        context.digests[f"job {name}"] = digest_file(job.folder / RESULT)
    context.extra |= {"device": str(opened.vlm.device), "seeds": {"adapter": config.seed}}
    stable = _stable(config, pilot)
    if pilot.why_not is not None:
        why = f"the pilot's training diverged: {pilot.why_not}"
        return [stable, *(BUILDER.missing(name, why) for name in METRICS if name != "stable")]

    evaluator = PilotEvaluator(config, context.manifest, opened)
    model = evaluator.open(pilot)
    table = evaluator.off_table(model)
    write_table(context, VL, table)
    on, accuracy = _drop_on(config, jobs, table)
    plots.training(context, jobs, accuracy)
    answered, common = evaluator.base_answers(), evaluator.majority()
    write_table(context, Path(PILOT_BASE_ANSWERS).name, answered)
    base = {row["id"]: row["base_correct"] for row in answered}
    gains = _gains(context, pilot, base, common)
    times = evaluator.times(model, PilotSettings.of(config).latency_pairs)
    cells = compare_cells(config, evaluator, jobs, base)
    write_table(context, CELLS, cells)
    candidates = as_candidates(cells)
    fewest = min((cell["items"] for cell in cells if "items" in cell), default=0)
    context.offer("configurations", candidates, per_item=CELLS, items=fewest)
    chosen = context.select("smallest_config", candidates).selected
    margin = context.limit("smallest_config", "behind_best_high")
    plots.ablation(context, cells, chosen, margin)
    return [
        _drop_off(config, table),
        on,
        *gains,
        _latency(context, "latency", times),
        BUILDER.table_count("timed_work", times, "idle", per_item="latency.parquet"),
        _latency_full(),
        stable,
        *_selected(context, evaluator, jobs, chosen),
    ]


# -- what was gained, and what was lost -----------------------------------------------------------


def _gains(
    context: Context, pilot: Job, base: Mapping[str, bool], majority: Mapping[str, str]
) -> list[Metric]:
    items = pilot.items("audio test")
    swapped = {item["id"]: item["correct"] for item in pilot.items("audio swapped")}
    table = [
        {
            **item,
            "base_correct": base[item["id"]],
            "majority_correct": same_answer(
                majority.get(item["question_type"], ""), item["answer"]
            ),
            "correct_with_another_sound": swapped[item["id"]],
        }
        for item in items
    ]
    write_table(context, ANSWERS, table)
    plots.accuracy_by_type(context, table)
    by_type: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in table:
        right = (row["correct"], row["base_correct"], row["majority_correct"], True)
        for place, value in enumerate(right):
            by_type[f"{row['task']}: {row['question_type']}"][place] += value
    detail = {
        "right_by_type": {"of": "SAFE, base, most common answer, items", **by_type},
        "held_out": pilot.result["held_out"],
        "padding": pilot.result["padding"],
        "samples_per_s": pilot.result["samples_per_s"],
    }
    against = {
        "audio_gain": "base_correct",
        "audio_over_majority": "majority_correct",
        "audio_needed": "correct_with_another_sound",
    }
    return [
        BUILDER.table_difference(
            name,
            table,
            ("correct", other),
            per_item=ANSWERS,
            seed=context.config.seed,
            detail=detail if name == "audio_gain" else None,
        )
        for name, other in against.items()
    ]


def _drop_off(config: RunConfig, table: Sequence[Mapping[str, Any]]) -> Metric:
    """VL drop with the gate OFF; the dataset with the worst bound decides."""
    drops = {}
    for dataset in sorted({row["dataset"] for row in table}):
        drops[dataset] = BUILDER.table_difference(
            "vl_drop",
            table,
            ("base_correct", "safe_correct"),
            where={"dataset": [dataset]},
            per_item=VL,
            seed=config.seed,
            identical=all(row["identical"] for row in table if row["dataset"] == dataset),
        )
    if not drops:
        return BUILDER.missing("vl_drop", "there is no held-out VL example with a readable image")
    worst = max(drops, key=lambda d: drops[d].ci.high if drops[d].ci else float("inf"))  # type: ignore[union-attr]
    detail = {
        "drop_and_items": {name: [m.value, m.n] for name, m in drops.items()},
        "decided_by": worst,
        "answers_that_differ": sum(not row["identical"] for row in table),
    }
    return drops[worst].model_copy(update={"n": len(table), "detail": detail})


def _drop_on(
    config: RunConfig, jobs: Mapping[str, Job], table: Sequence[Mapping[str, Any]]
) -> tuple[Metric, dict[str, float]]:
    """VL drop with the gate ON and an irrelevant sound; accuracies of base and both arms."""
    base = {row["id"]: row["base_correct"] for row in table}
    accuracy = {"base": sum(base.values()) / max(1, len(base))}
    found: dict[str, Metric] = {}
    for arm in ("distilled", "undistilled"):
        if jobs[arm].why_not is not None:
            continue
        items = [item for item in jobs[arm].items("vl") if item["id"] in base]
        right = [item["correct"] for item in items]
        accuracy[arm] = sum(right) / max(1, len(right))
        found[arm] = BUILDER.difference(
            "vl_drop_on",
            [base[item["id"]] for item in items],
            right,
            [item["source"] for item in items],
            seed=config.seed,
        )
    without = found.get("undistilled")
    detail = {
        "accuracy": accuracy,
        "drop_without_distillation": None if without is None else without.value,
    }
    return found["distilled"].model_copy(update={"detail": detail}), accuracy


# -- what it costs --------------------------------------------------------------------------------


def _latency(
    context: Context,
    name: str,
    times: Sequence[Mapping[str, Any]],
    measured_on: Mapping[str, str] | None = None,
) -> Metric:
    """Latency of the slower of cached and uncached audio, divided by that without audio.

    Each question counts with its fastest repeat. Background load only increases latency, so the
    minimum is used (as in Python's `timeit`). 06 evaluates the tails.
    """
    write_table(context, f"{name}.parquet", times)
    ids = list(dict.fromkeys(row["id"] for row in times))
    best = {
        mode: [min(row[mode] for row in times if row["id"] == i) for i in ids] for mode in MODES
    }
    totals = {mode: sum(seconds) for mode, seconds in best.items()}
    slower = max(("cached", "uncached"), key=totals.__getitem__)
    interval = ratio_bootstrap(best[slower], best["off"], seed=context.config.seed)
    return BUILDER.measured(
        name,
        totals[slower] / totals["off"],
        len(times),
        ci=interval,
        per_item=f"{name}.parquet",
        measured_on=measured_on,
        detail={
            "of": "one question at a time, from decoded picture and sound to the answer",
            "slower": slower,
            "milliseconds": {mode: 1000 * total / len(ids) for mode, total in totals.items()},
        },
    )


def _latency_full() -> Metric:
    work = count_answer(build_full_size())
    off = work["vision"] + work["language"]
    on = work["vision"] + work["language_on"] + work["audio_encoder"] + work["projector"]
    return BUILDER.measured(
        "latency_full",
        on / off,
        1,
        detail={
            "of": "floating-point operations of the first answer token, BLIP-2 OPT-2.7B with CLAP "
            "HTSAT, k = 8, r = 8, counted on the meta device",
            "flops": work,
        },
    )


def _stable(config: RunConfig, pilot: Job) -> Metric:
    if pilot.why_not is not None:
        return BUILDER.measured("stable", 1, config.stage_a.steps, detail={"broke": pilot.why_not})
    steps = pilot.steps()
    found = {name: judge_curve(steps[name]) for name in ("loss", "gradient_norm")}
    return BUILDER.measured(
        "stable",
        sum(curve.total for curve in found.values()),
        len(steps["loss"]),
        detail={name: asdict(curve) for name, curve in found.items()},
    )


# -- how small it may be --------------------------------------------------------------------------


def _selected(
    context: Context, evaluator: PilotEvaluator, jobs: Mapping[str, Job], chosen: str | None
) -> list[Metric]:
    """Memory and latency of the configuration that the rule selects."""
    if chosen is None:
        why = "no configuration is selected"
        return [BUILDER.missing(name, why) for name in ("memory_fits", "latency_acceptable")]
    budget, peak = evaluator.memory(), jobs[chosen].result["peak_memory_bytes"]
    times = evaluator.times(
        evaluator.open(jobs[chosen]), PilotSettings.of(context.config).latency_pairs
    )
    return [
        BUILDER.measured(
            "memory_fits",
            peak / budget,
            1,
            measured_on={"smallest_config": chosen},
            detail={
                "of": "peak of its training over the memory of the device",
                "peak_bytes": peak,
                "budget_bytes": budget,
            },
        ),
        _latency(context, "latency_acceptable", times, {"smallest_config": chosen}),
    ]
