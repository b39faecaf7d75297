"""03 Tiny overfit: can projector and LoRA overfit a few hundred mixed examples?

Training uses always-on audio. With the gate OFF, the outputs for VL examples must be the same after
training as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from safe.digest import digest_file
from safe.files import write_json
from safe.gates.schema import Metric
from safe.gates.statistics import rank_correlation
from safe.hearing.context import Context
from safe.hearing.evaluation.learning import prior_entropy, same_answer, smooth
from safe.hearing.evaluation.snapshot import OffAnswer, off_answers
from safe.hearing.experiments.metric_builder import MetricBuilder, figure, save_figure, write_table
from safe.hearing.experiments.tiny_overfit import METRICS
from safe.hearing.experiments.tiny_overfit.training import Overfit, select_rows
from safe.hearing.training.batching import Feeder, batches
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.gating_eval_set import HEARING
from safe.hearing.training.held_out import swap_sounds
from safe.hearing.training.trainer import StepRecord

BUILDER = MetricBuilder(METRICS)
ROWS, STEPS = "rows.parquet", "steps.parquet"
CHECKPOINT, BEFORE = "checkpoint.pt", "off_before.json"
OFF_TOKENS = 8


def measure(context: Context) -> list[Metric]:
    """Train on the tiny split; measure what was learned and that VL outputs are unchanged."""
    config = context.config
    use_threads(config)
    opened = open_base(config)
    model = opened.build(config, seed=config.seed)
    context.digests |= opened.digests | {"manifest": digest_file(context.manifest)}
    context.extra |= {"device": str(model.device), "seeds": {"adapter": config.seed}}

    features = Features(opened, config.cache, model.projector.input_kind)
    encoder = TextEncoder(opened.vlm, opened.processor)
    rows = select_rows(config, context.manifest, features, encoder)
    feeder = Feeder(model, features, encoder)
    overfit = Overfit(feeder, rows)
    vl_examples = [r for r in rows if r.sample.task == "vl"]
    audio_examples = [r for r in rows if r.sample.task != "vl"]

    def off() -> list[OffAnswer]:
        return off_answers(model, _plain_batches(feeder, vl_examples), max_new_tokens=OFF_TOKENS)

    before = _before(context.folder / BEFORE, overfit.fingerprint(config), off)
    history, trainer = overfit.train(config, context.folder / CHECKPOINT)
    after = off()
    losses = feeder.losses(rows)
    answers = feeder.answers(audio_examples)
    misled = feeder.answers(swap_sounds(audio_examples))

    changed = {a.id for a, b in zip(after, before, strict=True) if a != b}
    correct = [
        same_answer(given, row.sample.answer)
        for given, row in zip(answers, audio_examples, strict=True)
    ]
    without = [
        same_answer(given, row.sample.answer)
        for given, row in zip(misled, audio_examples, strict=True)
    ]
    table = [
        {
            "id": row.sample.id,
            "source": row.sample.source,
            "task": row.sample.task,
            "question_type": row.sample.question_type,
            "heard": row.heard.id,
            "answer": row.sample.answer,
            "nats": loss,
            "tokens": len(row.answer),
            "generated": given,
            "correct": right,
            "correct_with_another_sound": swapped,
            "off_changed": (row.sample.id in changed) if row.sample.task == "vl" else None,
        }
        for row, loss, given, right, swapped in zip(
            rows,
            losses,
            [*answers, *[None] * len(vl_examples)],
            [*correct, *[None] * len(vl_examples)],
            [*without, *[None] * len(vl_examples)],
            strict=True,
        )
    ]
    write_table(context, ROWS, table)
    write_table(context, STEPS, [asdict(record) for record in history])
    curve = smooth([record.loss for record in history], trainer.batches.per_epoch)
    _plot(context, history, curve, rows, losses)
    opened.save(model, context.folder / "adapter")
    metrics = [
        _loss(rows, losses, features, trainer.resumed_at),
        _accuracy(table),
        BUILDER.table_difference(
            "audio_needed",
            table,
            ("correct", "correct_with_another_sound"),
            where={"task": HEARING},
            per_item=ROWS,
            seed=config.seed,
            detail={"statistic": "accuracy with the example's own sound minus that with another's"},
        ),
        BUILDER.table_count(
            "vl_unchanged",
            table,
            "off_changed",
            where={"task": ["vl"]},
            per_item=ROWS,
            detail={
                "compared": "logits at every position and generated tokens, bitwise",
                "changed": sorted(changed)[:20],
            },
        ),
        _curve(*curve),
        _plateau(audio_examples, losses[: len(audio_examples)]),
    ]
    for leftover in (CHECKPOINT, BEFORE):
        (context.folder / leftover).unlink(missing_ok=True)
    return metrics


def _plain_batches(
    feeder: Feeder, rows: Sequence[Example]
) -> Iterator[tuple[list[str], dict[str, Tensor]]]:
    """Yield ids and inputs of VL examples as for a plain call of the base."""
    for batch in batches(rows):
        yield [r.sample.id for r in batch], feeder.plain(batch)


def _before(path: Path, fingerprint: str, take: Any) -> list[OffAnswer]:
    """Gate-OFF answers before training; read from `path` if a run is resumed."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] == fingerprint:
            return [OffAnswer(**answer) for answer in kept["answers"]]
    except (OSError, ValueError, KeyError, TypeError):
        path.unlink(missing_ok=True)  # missing or truncated: training has not started
    answers: list[OffAnswer] = take()
    write_json(
        path, {"fingerprint": fingerprint, "answers": [asdict(answer) for answer in answers]}
    )
    return answers


# -- metrics --------------------------------------------------------------------------------------


def _loss(
    rows: Sequence[Example], losses: Sequence[float], features: Features, resumed_at: int | None
) -> Metric:
    def mean(chosen: Sequence[int]) -> float | None:
        tokens = sum(len(rows[i].answer) for i in chosen)
        return sum(losses[i] for i in chosen) / tokens if tokens else None

    everything = mean(range(len(rows)))
    assert everything is not None  # select_rows returns at least one row
    return BUILDER.measured(
        "loss",
        everything,
        len(rows),
        per_item=ROWS,
        detail={
            "statistic": "mean nats per answer token over the split, after training",
            "by_task": {
                task: mean([i for i, r in enumerate(rows) if r.sample.task == task])
                for task in sorted({r.sample.task for r in rows})
            },
            "unusable_media": len(features.faults),
            "resumed_at_step": resumed_at,
        },
    )


def _accuracy(table: Sequence[Mapping[str, Any]]) -> Metric:
    by_type: dict[str, list[bool]] = {}
    for row in table:
        if row["task"] in HEARING:
            kind = f"{row['task']}: {row['question_type']}"
            by_type.setdefault(kind, []).append(row["correct"])
    return BUILDER.table_share(
        "audio_accuracy",
        table,
        "correct",
        where={"task": HEARING},
        per_item=ROWS,
        detail={
            "by_type": {name: [sum(found), len(found)] for name, found in sorted(by_type.items())}
        },
    )


def _curve(steps: list[float], means: list[float]) -> Metric:
    try:
        rho, interval = rank_correlation(steps, means)
    except ValueError as error:
        return BUILDER.missing("learning_curve", str(error), len(steps))
    return BUILDER.measured(
        "learning_curve",
        rho,
        len(steps),
        ci=interval,
        per_item=STEPS,
        detail={
            "statistic": "Spearman's rho of step and mean loss over blocks of steps",
            "first_block": means[0],
            "last_block": means[-1],
        },
    )


def _plateau(rows: Sequence[Example], losses: Sequence[float]) -> Metric:
    entropy = prior_entropy(
        (row.sample.question_type for row in rows), (row.sample.answer for row in rows)
    )
    if entropy == 0:
        why = "every question type has a single answer, so the prior has no entropy"
        return BUILDER.missing("learning_plateau", why, len(rows))
    mean = sum(losses) / len(losses)
    return BUILDER.measured(
        "learning_plateau",
        mean / entropy,
        len(rows),
        per_item=ROWS,
        detail={
            "statistic": "final nats per answer of audio rows / entropy of the answer by type",
            "final_nats_per_answer": mean,
            "prior_nats_per_answer": entropy,
        },
    )


# -- evidence -------------------------------------------------------------------------------------


def _plot(
    context: Context,
    history: Sequence[StepRecord],
    curve: tuple[list[float], list[float]],
    rows: Sequence[Example],
    losses: Sequence[float],
) -> None:
    values = [record.loss for record in history]
    drawn, axis = figure(7, 3.6)
    axis.plot([record.step for record in history], values, color="#b8c4d6", lw=0.8, label="a step")
    axis.plot(*curve, color="#1f4e8c", lw=2, label="mean over a block of steps")
    final = sum(losses) / sum(len(r.answer) for r in rows)
    axis.axhline(final, color="#2e7d32", ls="--", lw=1, label=f"after training: {final:.4f}")
    axis.set(
        xlabel="optimizer step",
        ylabel="loss (nats per answer token)",
        yscale="log",
        title=f"Tiny overfit: {len(rows)} examples, gate always ON",
    )
    axis.legend(frameon=False, fontsize=8)
    save_figure(context, drawn, "learning_curve")
