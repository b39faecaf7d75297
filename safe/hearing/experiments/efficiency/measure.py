"""06 Efficiency: time and memory of training and inference, compared with the budget.

All measurements use the run's device and the pilot's adapter. "Without audio" means the gate OFF,
that is, the unchanged base.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import linregress

from safe.digest import digest_file
from safe.files import write_json
from safe.gates.schema import Metric
from safe.gates.statistics import quantile_interval
from safe.hearing.artifacts import PILOT_ADAPTER
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.data.decode import load_audio
from safe.hearing.evaluation.profile import profile
from safe.hearing.experiments.efficiency import METRICS, plots
from safe.hearing.experiments.efficiency.config import ProfileSettings
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.hearing.experiments.stage_a_pilot.evaluator import PilotEvaluator
from safe.hearing.models.checkpoint import RECORD, read_record
from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.stage_a import StageA, select_stage_a
from safe.hearing.training.teacher import Teacher

BUILDER = MetricBuilder(METRICS)
ADAPTER = Path(PILOT_ADAPTER)
POINTS, LATENCY, RECOMMENDED = "points.parquet", "latency.parquet", "recommended.json"
ANSWERING = 2  # repeats per inference batch; training steps use profile.repeats
KEPT = 0.95  # share of the best throughput that a recommended batch must reach
BUDGET = 0.9  # share of the memory that it may use


def measure(context: Context) -> list[Metric]:
    """Profile training, inference and latency."""
    config = context.config
    use_threads(config)
    adapter = config.folder / ADAPTER
    read_record(adapter)
    opened = open_base(config)
    context.digests |= opened.digests | {
        "manifest": digest_file(context.manifest),
        "adapter": digest_file(adapter / RECORD),
    }
    model = opened.load(adapter)
    context.extra |= {"device": str(model.device), "seeds": {"adapter": config.seed}}
    evaluator = PilotEvaluator(config, context.manifest, opened)
    training = _training(context, evaluator, model)
    answering = _answering(config, evaluator, model)
    points = [*training, *answering]
    latency = _latency(config, evaluator, model)
    write_table(context, POINTS, points)
    write_table(context, LATENCY, latency)
    budget = evaluator.memory()
    recommended = recommend(training, budget)
    write_json(context.folder / RECOMMENDED, recommended)
    context.evidence.append(RECOMMENDED)
    fit = linregress([p["batch"] for p in training], [p["peak_bytes"] for p in training])
    plots.throughput(context, points)
    plots.memory(context, training, (fit.slope, fit.intercept), budget)
    plots.latency(context, latency)
    target = next(p for p in training if p["batch"] == ProfileSettings.of(config).target_batch)
    return [
        _headroom(target, budget, recommended),
        *_slo(config, model, latency),
        BUILDER.measured(
            "memory_scaling",
            float(fit.rvalue) ** 2,
            len(training),
            per_item=POINTS,
            detail={
                "bytes_per_row": float(fit.slope),
                "bytes_without_rows": float(fit.intercept),
                "memory": training[0]["memory"],
            },
        ),
        _throughput(config, target),
    ]


# -- what is profiled -----------------------------------------------------------------------------


def _point(
    kind: str, batch: int, call: Callable[[], Any], model: SafeModel, repeats: int
) -> dict[str, Any]:
    found = profile(call, model.device, repeats=repeats)
    return {
        "kind": kind,
        "batch": batch,
        "seconds": found.seconds,
        "samples_per_s": batch / median(found.seconds),
        "peak_bytes": found.peak.bytes,
        "reserved_bytes": found.peak.reserved,
        "memory": found.peak.method,
    }


def _training(
    context: Context, evaluator: PilotEvaluator, model: SafeModel
) -> list[dict[str, Any]]:
    """Profile Stage A optimizer steps from cached features, smallest batch first."""
    config = context.config
    rows = select_stage_a(config, context.manifest, evaluator.features, evaluator.encoder)
    teacher = Teacher(evaluator.features, evaluator.encoder, config.cache)
    feeder = Feeder(model, evaluator.features, evaluator.encoder)
    sizes = sorted(
        {*ProfileSettings.of(config).batch_sizes, ProfileSettings.of(config).target_batch}
    )
    points = []
    for size in sizes:
        settings = config.stage_a.model_copy(update={"batch_size": size, "accumulate": 1})
        stage = StageA(feeder, rows, teacher, settings, config.seed)
        trainer = stage.trainer(config)
        model.train()
        numbers = itertools.count()
        points.append(
            _point(
                "training",
                size,
                lambda trainer=trainer, numbers=numbers: trainer.step(next(numbers)),  # type: ignore[misc]
                model,
                ProfileSettings.of(config).repeats,
            )
        )
        model.eval()
    return points


def _answering(
    config: RunConfig, evaluator: PilotEvaluator, model: SafeModel
) -> list[dict[str, Any]]:
    """Profile inference on held-out questions: gate OFF, ON with cached and with raw audio."""
    points = []
    rate = evaluator.opened.audio_encoder.sampling_rate
    for size in sorted(ProfileSettings.of(config).batch_sizes):
        rows = list(itertools.islice(itertools.cycle(evaluator.rows["test"]), size))
        inputs = evaluator.feeder.plain(rows)
        waves = [load_audio(row.heard.audio, rate) for row in rows if row.heard.audio is not None]
        cached = evaluator.features.audio([row.heard for row in rows]).to(model.device)
        modes: dict[str, dict[str, Any]] = {
            "answering, gate OFF": {"gate": False},
            "answering, cached audio": {"gate": True, "audio": cached},
            "answering, audio on the fly": {"gate": True, "audio": waves},
        }
        for kind, options in modes.items():
            call = _answer(model, inputs, options, rows)
            points.append(_point(kind, size, call, model, ANSWERING))
    return points


def _answer(
    model: SafeModel, inputs: Mapping[str, Any], options: Mapping[str, Any], rows: Sequence[Example]
) -> Callable[[], Any]:
    longest = max(len(row.answer) for row in rows)
    return lambda: model.generate(**inputs, **options, max_new_tokens=longest, do_sample=False)


def _latency(
    config: RunConfig, evaluator: PilotEvaluator, model: SafeModel
) -> list[dict[str, Any]]:
    """Time single questions: the pilot's adapter at its own k, untrained adapters at others."""
    found = []
    for k in sorted({*ProfileSettings.of(config).audio_tokens, model.config.audio_tokens}):
        own = k == model.config.audio_tokens
        adapter = model.config.model_copy(update={"audio_tokens": k})
        fresh = evaluator.opened.build(
            config.model_copy(update={"adapter": adapter}), seed=config.seed
        )
        times = evaluator.times(model if own else fresh, PilotSettings.of(config).latency_pairs)
        found += [{"audio_tokens": k, "pilot": own, **row} for row in times]
    return found


# -- what it means --------------------------------------------------------------------------------


def recommend(training: Sequence[Mapping[str, Any]], budget: int) -> dict[str, Any]:
    """Return the smallest batch within the memory budget with nearly the best throughput.

    Larger batches would only use more memory. `batch` is None if none fits.
    """
    fitting = [p for p in training if p["peak_bytes"] <= BUDGET * budget]
    best = max((p["samples_per_s"] for p in fitting), default=0.0)
    fast = [p["batch"] for p in fitting if p["samples_per_s"] >= KEPT * best]
    return {
        "batch": min(fast, default=None),
        "rule": f"smallest measured batch within {BUDGET:.0%} of the budget that reaches "
        f"{KEPT:.0%} of the best throughput there",
        "budget_bytes": budget,
        "samples_per_s": {str(p["batch"]): p["samples_per_s"] for p in training},
    }


def _headroom(target: Mapping[str, Any], budget: int, recommended: Mapping[str, Any]) -> Metric:
    return BUILDER.measured(
        "headroom",
        1 - target["reserved_bytes"] / budget,
        1,
        per_item=POINTS,
        detail={
            "batch": target["batch"],
            "peak_bytes": target["reserved_bytes"],
            "budget_bytes": budget,
            "memory": target["memory"],
            "recommended_batch": recommended["batch"],
        },
    )


def _slo(config: RunConfig, model: SafeModel, latency: Sequence[Mapping[str, Any]]) -> list[Metric]:
    own = [row for row in latency if row["audio_tokens"] == model.config.audio_tokens]
    added = [1000 * (row["uncached"] - row["off"]) for row in own]
    limits = (
        ProfileSettings.of(config).audio_latency_ms,
        ProfileSettings.of(config).audio_latency_p95_ms,
    )
    middle, tail = float(np.median(added)), float(np.quantile(added, 0.95))
    detail = {
        "of": "one question, from decoded picture and sound to the answer, relative to gate OFF",
        "added_ms": {"p50": middle, "p95": tail},
        "service_level_ms": {"p50": limits[0], "p95": limits[1]},
        "off_ms": 1000 * median(row["off"] for row in own),
        "uncached_ms_by_audio_tokens": {
            str(k): 1000 * median(r["uncached"] for r in latency if r["audio_tokens"] == k)
            for k in sorted({row["audio_tokens"] for row in latency})
        },
    }
    return [
        BUILDER.measured(
            "audio_latency",
            middle / limits[0],
            len(added),
            ci=quantile_interval([a / limits[0] for a in added], 0.5),
            per_item=LATENCY,
            detail=detail,
        ),
        BUILDER.measured(
            "audio_latency_p95", tail / limits[1], len(added), per_item=LATENCY, detail=detail
        ),
    ]


def _throughput(config: RunConfig, target: Mapping[str, Any]) -> Metric:
    needed = ProfileSettings.of(config).planned_samples / (
        3600 * ProfileSettings.of(config).planned_hours
    )
    ratios = [target["batch"] / seconds / needed for seconds in target["seconds"]]
    return BUILDER.measured(
        "throughput",
        median(ratios),
        len(ratios),
        ci=quantile_interval(ratios, 0.5),
        per_item=POINTS,
        detail={
            "batch": target["batch"],
            "samples_per_s": target["samples_per_s"],
            "needed_samples_per_s": needed,
        },
    )
