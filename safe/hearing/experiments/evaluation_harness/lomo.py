"""07: leave one modality out: how do answers change when the sound is removed?

SAFE is evaluated as deployed, under the gate that 05 selected. Experiment 04 measures how an
always-on adapter affects picture questions. A muted sound is not consulted, which is how SAFE
treats silence. Muting cannot show that answers depend on the specific sound and on nothing else in
the prompt; this is tested with another example's sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from safe.gates.schema import Metric
from safe.gates.statistics import auroc, auroc_interval, wilson
from safe.hearing.context import Context
from safe.hearing.experiments.evaluation_harness import plots
from safe.hearing.experiments.evaluation_harness.evaluator import (
    GeneratedAnswer,
    HarnessEvaluator,
    Table,
)
from safe.hearing.experiments.metric_builder import MetricBuilder, worst, write_table
from safe.hearing.models.gating import GateLike
from safe.hearing.training.collate import Example
from safe.hearing.training.held_out import swap_sounds

LOMO = "lomo.parquet"
MIN_DROP = 0.1  # nats of the right answer; 07.lomo_drop counts items that lose more


def lomo(
    builder: MetricBuilder,
    context: Context,
    evaluator: HarnessEvaluator,
    gate: GateLike,
    audio_examples: Sequence[Example],
    vl_examples: Sequence[Example],
) -> tuple[list[Metric], dict[str, list[GeneratedAnswer]]]:
    """Return the metrics, and for each sound condition the answers to picture questions."""
    rows, first_picture = [*audio_examples, *vl_examples], len(audio_examples)
    modes: dict[str, tuple[Sequence[Example], GateLike]] = {
        "sound": (rows, gate),
        "muted": (rows, False),
        "near_silence": (evaluator.background(rows), gate),
        # Picture questions already have another example's sound.
        "swapped": (swap_sounds(audio_examples), gate),
    }
    nats = {
        mode: evaluator.log_probabilities(asked, policy) for mode, (asked, policy) in modes.items()
    }
    answers = {
        mode: evaluator.answer(asked, policy, said=mode) for mode, (asked, policy) in modes.items()
    }
    table: Table = []
    for i, row in enumerate(rows):
        item = {
            "id": row.sample.id,
            "source": row.sample.source,
            "split": row.sample.split,
            "task": row.sample.task,
            "question_type": row.sample.question_type,
            "needs_sound": i < first_picture,
            "consulted": answers["sound"][i].consulted,
            "drop": nats["sound"][i] - nats["muted"][i],
        }
        for mode in modes:
            if i < len(nats[mode]):
                text = answers[mode][i].text
                score = evaluator.score(row.sample, text)
                item |= {mode: text, f"nats_{mode}": nats[mode][i], f"score_{mode}": score}
        table.append(item)
    write_table(context, LOMO, table)
    plots.drops(context, table, MIN_DROP)
    needs, pictures = table[:first_picture], table[first_picture:]
    metrics = [
        _drop(builder, needs),
        _vl(builder, pictures, context.config.seed),
        _separation(builder, needs, pictures, context.config.seed),
        builder.table_difference(
            "follows_sound",
            table,
            ("score_sound", "score_swapped"),
            where={"needs_sound": [True]},
            per_item=LOMO,
            seed=context.config.seed,
        ),
    ]
    return metrics, {mode: given[first_picture:] for mode, given in answers.items()}


def _drop(builder: MetricBuilder, needs: Table) -> Metric:
    dropped = [row["drop"] > MIN_DROP for row in needs]
    kinds = sorted({row["question_type"] for row in needs})
    return builder.measured(
        "lomo_drop",
        sum(dropped) / len(needs),
        len(needs),
        ci=wilson(sum(dropped), len(needs)),
        per_item=LOMO,
        detail={
            "a_drop_is_more_than_nats": MIN_DROP,
            "consulted": fmean([row["consulted"] for row in needs]),
            "by_question_type": {
                kind: fmean(
                    [d for d, r in zip(dropped, needs, strict=True) if r["question_type"] == kind]
                )
                for kind in kinds
            },
            "share_by_way": {
                mode: fmean([r["nats_sound"] - r[f"nats_{mode}"] > MIN_DROP for r in needs])
                for mode in ("muted", "near_silence", "swapped")
            },
            "accuracy": {
                mode: fmean([r[f"score_{mode}"] for r in needs])
                for mode in ("sound", "muted", "near_silence", "swapped")
            },
        },
    )


def _vl(builder: MetricBuilder, pictures: Table, seed: int) -> Metric:
    """Largest loss of VL accuracy over the ways to remove the sound."""
    found = {
        mode: builder.table_difference(
            "lomo_vl",
            pictures,
            ("score_sound", f"score_{mode}"),
            where={"needs_sound": [False]},
            per_item=LOMO,
            seed=seed,
            identical=all(r["sound"] == r[mode] for r in pictures),
        )
        for mode in ("muted", "near_silence")
    }
    return worst(found)


def _separation(builder: MetricBuilder, needs: Table, pictures: Table, seed: int) -> Metric:
    drops = [r["drop"] for r in needs], [r["drop"] for r in pictures]
    try:
        interval = auroc_interval(*drops, seed=seed)
    except ValueError as error:
        return builder.missing("lomo_separation", str(error), len(needs))
    return builder.measured(
        "lomo_separation",
        auroc(*drops),
        min(len(needs), len(pictures)),
        ci=interval,
        per_item=LOMO,
        detail={"needs_sound": len(needs), "about_a_picture": len(pictures)},
    )
