"""Compute and latency of experiment 05's gate, for single questions."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from safe.gates.schema import Metric
from safe.hearing.context import Context
from safe.hearing.experiments.gating.evaluator import MODES, Cost
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.models.full_size import build_full_size, count_answer

TIMES = "timing.parquet"


def skipped_work(builder: MetricBuilder, cost: Cost) -> Metric:
    """Audio-only work on skipped questions: operations and calls of audio modules."""
    skipped = [i for i, question in enumerate(cost.counted) if cost.skipped[question]]
    if not skipped:
        return builder.missing("skipped_work", "the gate skipped none of the counted questions")
    flops = sum(abs(cost.flops["gated"][i] - cost.flops["none consult"][i]) for i in skipped)
    calls = sum(cost.heard[i] for i in skipped)
    return builder.measured(
        "skipped_work",
        flops + calls,
        len(skipped),
        detail={
            "of": "floating-point operations beyond those of a skip without a sound, and "
            "calls of audio encoder, projector or LoRA",
            "flops": flops,
            "calls": calls,
        },
    )


def time_saved(context: Context, builder: MetricBuilder, cost: Cost) -> Metric:
    """Share of the audio latency that was saved, divided by the share of skipped questions."""
    columns = {mode: mode.replace(" ", "_") for mode in MODES}
    table = [
        {"id": name, "skipped": cost.skipped[i]}
        | {column: cost.seconds[mode][i].tolist() for mode, column in columns.items()}
        for i, name in enumerate(cost.ids)
    ]
    write_table(context, TIMES, table)
    skip_rate = sum(cost.skipped) / len(cost.skipped)
    if skip_rate == 0:
        return builder.missing("time_saved", "the gate skipped none of the timed questions")
    saved, could = (  # calls of a repeat are close in time; the median drops outliers
        np.median(cost.seconds["all consult"] - cost.seconds[mode], axis=1)
        for mode in ("gated", "none consult")
    )
    could = could * skip_rate
    detail = {
        "of": "one question at a time, sound decoded beforehand; medians over repeats",
        "skip_rate": skip_rate,
        "by_repeat": _by_repeat(cost, skip_rate),
        **_costs(cost, skip_rate),
    }
    if could.sum() <= 0:  # audio adds no latency, so none was saved
        detail["note"] = "audio adds no measurable latency"
        return builder.measured("time_saved", 0.0, len(could), per_item=TIMES, detail=detail)
    return builder.measured(
        "time_saved", float(saved.sum() / could.sum()), len(could), per_item=TIMES, detail=detail
    )


def _by_repeat(cost: Cost, skip_rate: float) -> list[float | None]:
    """`time_saved` from each repeat separately, to show timing noise."""
    total = {mode: values.sum(axis=0) for mode, values in cost.seconds.items()}
    saved = total["all consult"] - total["gated"]
    could = (total["all consult"] - total["none consult"]) * skip_rate
    return [float(s / c) if c > 0 else None for s, c in zip(saved, could, strict=True)]


def _costs(cost: Cost, skip_rate: float) -> dict[str, Any]:
    """Cost of gating versus always-on, including the gate's own base forward pass."""
    milliseconds = {
        mode: 1000 * float(np.median(values, axis=1).mean())
        for mode, values in cost.seconds.items()
    }
    return {
        "milliseconds": milliseconds,
        "net_milliseconds": milliseconds["gated"] - milliseconds["always on"],
        "flops": {mode: _per_question(cost, values) for mode, values in cost.flops.items()},
        "flops_full_size": _full_size(skip_rate),
    }


def _per_question(cost: Cost, values: list[int]) -> float:
    """Mean over the timed questions, reweighted because skipped ones are counted more often."""
    kinds = [cost.skipped[i] for i in cost.counted]
    share = [cost.skipped.count(kind) / kinds.count(kind) for kind in kinds]
    return float(np.average(values, weights=share))


@cache
def _full_size_work() -> dict[str, int]:
    return count_answer(build_full_size())


def _full_size(skip_rate: float) -> dict[str, float]:
    """FLOPs of the first answer token of BLIP-2 OPT-2.7B with CLAP HTSAT, k = 8, r = 8."""
    work = _full_size_work()
    look = work["vision"] + work["language"]
    hear = work["audio_encoder"] + work["projector"] + work["language_on"]
    return {
        "always off": look,
        "always on": work["vision"] + hear,
        "gated": look + skip_rate * look + (1 - skip_rate) * hear,
    }
