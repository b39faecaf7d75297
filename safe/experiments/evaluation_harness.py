"""07 Evaluation harness: can the numbers be trusted, and do they show what depends on sound?

The generator is given questions without their answers, for as long as `evaluation.max_new_tokens`
says. A muted sound is not consulted, as SAFE does with silence. What that cannot show, that answers
follow the very sound and nothing else in the prompt, is asked with another row's sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from safe.config import RunConfig
from safe.data.sample import Sample
from safe.digest import digest_file
from safe.evaluation import aggregate, exact_match, self_check, vqa
from safe.evaluation.references import Reference, applicable, compare, load_references
from safe.evaluation.sound_quality import Condition, noise_alone, sweep, unchanged
from safe.experiments import harness_plots
from safe.experiments.context import Context
from safe.experiments.evidence import Metrics, write_table
from safe.experiments.gating import ADAPTER, CHOICES, GATE
from safe.experiments.harness_bench import Given, HarnessBench
from safe.files import write_json
from safe.gates.schema import Metric
from safe.gates.statistics import auroc, auroc_interval, wilson
from safe.models.checkpoint import RECORD
from safe.models.gate_file import load_gate
from safe.models.gating import POLICIES, UncertaintyGate
from safe.training.collate import Row
from safe.training.feeding import EVALUATE
from safe.training.held_out import swap_sounds
from safe.training.opened import open_base, use_threads

METRICS: dict[str, dict[str, Any]] = {
    "baseline_matches": {"unit": "ratio", "low": 0, "high": None},
    "metrics_stable": {"unit": "count", "low": 0, "high": None},
    "metrics_correct": {"unit": "score", "low": 0, "high": None},
    "lomo_drop": {"unit": "fraction", "low": 0, "high": 1},
    "lomo_vl": {"unit": "fraction", "low": -1, "high": 1},
    "follows_sound": {"unit": "fraction", "low": -1, "high": 1},
    "lomo_separation": {"unit": "auroc", "low": 0, "high": 1},
    "false_consultation": {"unit": "fraction", "low": 0, "high": 1},
    "vl_under_noise": {"unit": "fraction", "low": -1, "high": 1},
    "gate_robust": {"unit": "fraction", "low": 0, "high": 1},
}
METERS = Metrics(METRICS)
GATING = "05_gating"
BASELINE, LOMO, NOISE, SWEEP = "baseline.parquet", "lomo.parquet", "noise.parquet", "sweep.parquet"
CHECKS, REPEATED = "checks.parquet", "repeated.parquet"
OTHER_BATCH = 17  # of no common size, so that every batch is another one

Table = list[dict[str, Any]]


def measure(context: Context) -> list[Metric]:
    """Check the metrics, then ask every question with its sound, muted, and beside distractors."""
    config = context.config
    use_threads(config)
    references = load_references(config.evaluation.references)
    opened = open_base(config)
    adapter, chosen = config.folder / ADAPTER, config.folder / GATING / GATE
    gate = load_gate(chosen, base=opened.vlm_ref.digest)
    bench = HarnessBench(config, context.manifest, adapter, opened)
    context.digests |= opened.digests | {
        "manifest": digest_file(context.manifest),
        "adapter": digest_file(adapter / RECORD),
        "gate": digest_file(chosen),
        "references": digest_file(config.evaluation.references),
    }
    context.extra |= {"device": str(bench.model.device)}
    hearing, seeing = bench.rows()
    correct = _metrics_correct(context)
    base = bench.base([*hearing, *seeing])
    beside = bench.validation_rows()
    baseline = _baseline_matches(
        context, references, [*hearing, *seeing, *beside], [*base, *bench.base(beside)]
    )
    stable = _metrics_stable(context, bench, gate, hearing, seeing)
    lomo = _lomo(context, bench, hearing, seeing)
    others = _policies(config, gate)
    noise = _irrelevance(context, bench, gate, others, seeing, base[len(hearing) :])
    robust = _gate_robust(context, bench, gate, others, hearing, seeing)
    return [baseline, stable, correct, *lomo, *noise, robust]


def correctness(sample: Sample, layouts: Mapping[str, str], answer: str) -> float:
    """An answer's score in [0, 1] by the rule of the sample's dataset."""
    if layouts[sample.dataset] == "vqav2":
        return vqa.item_accuracy(answer, sample.answers)
    return exact_match.item_accuracy(answer, sample.answers)


def _layouts(config: RunConfig) -> dict[str, str]:
    return {dataset.name: dataset.layout for dataset in config.datasets}


def _policies(config: RunConfig, gate: UncertaintyGate) -> list[UncertaintyGate]:
    """The heuristic gates that experiment 05 chose a threshold for, the selected one first."""
    table = pq.read_table(config.folder / GATING / CHOICES).to_pylist()
    listed = [POLICIES[row["kind"]](threshold=row["threshold"]) for row in table]  # type: ignore[call-arg]
    return [gate, *(other for other in listed if other.kind != gate.kind)]


# -- the numbers themselves -----------------------------------------------------------------------


def _metrics_correct(context: Context) -> Metric:
    checks = self_check.run(caption_reference=context.config.evaluation.caption_reference)
    done = [c for c in checks if c.found is not None]
    write_table(context, CHECKS, [c.as_dict() for c in checks])
    worst = max(done, key=lambda c: c.deviation)
    return METERS.measured(
        "metrics_correct",
        worst.deviation,
        len(done),
        per_item=CHECKS,
        detail={
            "worst": worst.name,
            "unavailable": {c.name: c.reason for c in checks if c.found is None},
        },
    )


def _baseline_matches(
    context: Context,
    references: Sequence[Reference],
    rows: Sequence[Row],
    given: Sequence[Given],
) -> Metric:
    config, layouts = context.config, _layouts(context.config)
    table: Table = [
        {
            "id": row.sample.id,
            "dataset": row.sample.dataset,
            "split": row.sample.split,
            "task": row.sample.task,
            "question_type": row.sample.question_type,
            "answer": answer.text,
            "score": correctness(row.sample, layouts, answer.text),
        }
        for row, answer in zip(rows, given, strict=True)
    ]
    write_table(context, BASELINE, table)
    for name in sorted({row["dataset"] for row in table}):
        _write_results(context, layouts[name], [row for row in table if row["dataset"] == name])
    figures = aggregate.accuracies(table)
    models = [config.base.train, config.base.vlm]
    wanted = applicable(references, models)
    compared, missing = compare(wanted, figures)
    if missing or not compared:
        why = (
            f"not measured: {', '.join(r.id for r in missing)}"
            if missing
            else f"{config.evaluation.references} has no figure of this base"
        )
        return METERS.missing("baseline_matches", why)
    worst = max(compared, key=lambda c: c.ratio)
    return METERS.measured(
        "baseline_matches",
        worst.ratio,
        len(compared),
        per_item=BASELINE,
        detail={
            "worst": worst.reference.id,
            "compared": [
                {
                    **c.reference.model_dump(include={"id", "value", "tolerance", "source"}),
                    "measured": c.measured,
                    "n": c.n,
                }
                for c in compared
            ],
        },
    )


def _write_results(context: Context, layout: str, table: Table) -> None:
    """The base's answers in the layout's official results format, for `safe score`."""
    native = [row["id"].rsplit("/", 1)[1] for row in table]
    texts = [row["answer"] for row in table]
    if layout == "gqa":
        results = [{"questionId": n, "prediction": t} for n, t in zip(native, texts, strict=True)]
    else:
        results = [
            {"question_id": int(n) if n.isdecimal() else n, "answer": t}
            for n, t in zip(native, texts, strict=True)
        ]
    path = f"results_{table[0]['dataset']}.json"
    write_json(context.folder / path, results)
    context.evidence.append(path)


# -- again, in another order, in other batches ----------------------------------------------------


def _metrics_stable(
    context: Context,
    bench: HarnessBench,
    gate: UncertaintyGate,
    hearing: Sequence[Row],
    seeing: Sequence[Row],
) -> Metric:
    half = context.config.evaluation.repeated_items // 2
    rows = [*hearing[:half], *seeing[:half]]
    order = np.random.default_rng([context.config.seed, 11]).permutation(len(rows)).tolist()
    shuffled = [rows[i] for i in order]
    ways = {
        "first": (rows, EVALUATE),
        "repeated": (rows, EVALUATE),
        "another order": (shuffled, EVALUATE),
        "other batches": (rows, OTHER_BATCH),
    }
    layouts = _layouts(context.config)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for way, (asked, batch) in ways.items():
        answers = bench.answer(asked, gate, batch=batch, said=way)
        scores = bench.log_probabilities(asked, True, batch=batch)
        found[way] = {
            row.sample.id: {
                "tokens": list(answer.tokens),
                "score": correctness(row.sample, layouts, answer.text),
                "log_probability": nats,
            }
            for row, answer, nats in zip(asked, answers, scores, strict=True)
        }
    first = found["first"]
    write_table(
        context,
        REPEATED,
        [{"way": way, "id": i, **row} for way, table in found.items() for i, row in table.items()],
    )
    ids = [row.sample.id for row in rows]
    answers_that_differ = {
        way: sum(table[i]["tokens"] != first[i]["tokens"] for i in ids)
        for way, table in found.items()
    }
    bits = [i for i in ids if found["repeated"][i] != first[i]]
    by_rows = {way: _metrics_of(rows, table) for way, table in found.items()}
    differing = [
        f"{name}, {way}"
        for way, metrics in by_rows.items()
        for name, value in metrics.items()
        if value != by_rows["first"][name]
    ]
    return METERS.measured(
        "metrics_stable",
        len(differing) + sum(answers_that_differ.values()) + len(bits),
        len(ways) * len(by_rows["first"]),
        per_item=REPEATED,
        detail={
            "items": len(ids),
            "metrics_that_differ": differing,
            "answers_that_differ": answers_that_differ,
            "repeated_in_other_bits": bits[:20],
            "largest_difference_in_nats": {
                way: max(
                    abs(table[i]["log_probability"] - first[i]["log_probability"]) for i in ids
                )
                for way, table in found.items()
            },
        },
    )


def _metrics_of(rows: Sequence[Row], table: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Scores by dataset and task, summed in one order whatever the order of asking."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        for group in (row.sample.dataset, row.sample.task, row.sample.question_type):
            groups.setdefault(group, []).append(table[row.sample.id]["score"])
    return {group: float(np.mean(scores)) for group, scores in groups.items()}


# -- leave one modality out -----------------------------------------------------------------------


def _lomo(
    context: Context, bench: HarnessBench, hearing: Sequence[Row], seeing: Sequence[Row]
) -> list[Metric]:
    layouts = _layouts(context.config)
    rows, first_picture = [*hearing, *seeing], len(hearing)
    swapped = [*swap_sounds(hearing), *swap_sounds(seeing)]
    ways: dict[str, tuple[Sequence[Row], bool]] = {
        "sound": (rows, True),
        "muted": (rows, False),
        "near_silence": (bench.faint(rows), True),
        "swapped": (swapped, True),
    }
    nats = {way: bench.log_probabilities(asked, gate) for way, (asked, gate) in ways.items()}
    answers = {way: bench.answer(asked, gate, said=way) for way, (asked, gate) in ways.items()}
    table: Table = []
    for i, row in enumerate(rows):
        item = {
            "id": row.sample.id,
            "source": row.sample.source,
            "task": row.sample.task,
            "question_type": row.sample.question_type,
            "needs_sound": i < first_picture,
            "drop": nats["sound"][i] - nats["muted"][i],
        }
        for way in ways:
            text = answers[way][i].text
            score = correctness(row.sample, layouts, text)
            item |= {way: text, f"nats_{way}": nats[way][i], f"score_{way}": score}
        table.append(item)
    write_table(context, LOMO, table)
    harness_plots.drops(context, table)
    needs, pictures = table[:first_picture], table[first_picture:]
    return [
        _lomo_drop(needs, context.config.evaluation.min_drop),
        _lomo_vl(pictures, context.config.seed),
        _lomo_separation(needs, pictures, context.config.seed),
        METERS.difference(
            "follows_sound",
            [r["score_sound"] for r in needs],
            [r["score_swapped"] for r in needs],
            [r["source"] for r in needs],
            seed=context.config.seed,
            per_item=LOMO,
        ),
    ]


def _lomo_drop(needs: Table, least: float) -> Metric:
    dropped = [row["drop"] > least for row in needs]
    kinds = sorted({row["question_type"] for row in needs})
    return METERS.measured(
        "lomo_drop",
        sum(dropped) / len(needs),
        len(needs),
        ci=wilson(sum(dropped), len(needs)),
        per_item=LOMO,
        detail={
            "a_drop_is_more_than_nats": least,
            "by_question_type": {
                kind: _mean(
                    [d for d, r in zip(dropped, needs, strict=True) if r["question_type"] == kind]
                )
                for kind in kinds
            },
            "share_by_way": {
                way: _mean([r["nats_sound"] - r[f"nats_{way}"] > least for r in needs])
                for way in ("muted", "near_silence", "swapped")
            },
            "accuracy": {
                way: _mean([r[f"score_{way}"] for r in needs])
                for way in ("sound", "muted", "near_silence", "swapped")
            },
        },
    )


def _lomo_vl(pictures: Table, seed: int) -> Metric:
    """The largest of the losses that the ways to take the sound away bring."""
    found = {
        way: METERS.difference(
            "lomo_vl",
            [r["score_sound"] for r in pictures],
            [r[f"score_{way}"] for r in pictures],
            [r["source"] for r in pictures],
            seed=seed,
            identical=all(r["sound"] == r[way] for r in pictures),
            per_item=LOMO,
        )
        for way in ("muted", "near_silence")
    }
    return _worst(found)


def _lomo_separation(needs: Table, pictures: Table, seed: int) -> Metric:
    drops = [r["drop"] for r in needs], [r["drop"] for r in pictures]
    try:
        interval = auroc_interval(*drops, seed=seed)
    except ValueError as error:
        return METERS.missing("lomo_separation", str(error), len(needs))
    return METERS.measured(
        "lomo_separation",
        auroc(*drops),
        min(len(needs), len(pictures)),
        ci=interval,
        per_item=LOMO,
        detail={"needs_sound": len(needs), "about_a_picture": len(pictures)},
    )


# -- distractors ----------------------------------------------------------------------------------


def _irrelevance(
    context: Context,
    bench: HarnessBench,
    gate: UncertaintyGate,
    others: Sequence[UncertaintyGate],
    seeing: Sequence[Row],
    base: Sequence[Given],
) -> list[Metric]:
    layouts, seed = _layouts(context.config), context.config.seed
    distractors = {
        "another row's sound": (seeing, Condition("", "", None, unchanged)),
        "noise as loud": (seeing, Condition("", "", None, noise_alone)),
        "near-silence": (bench.faint(seeing), Condition("", "", None, unchanged)),
    }
    table: Table = []
    for name, (rows, condition) in distractors.items():
        given = bench.answer(rows, gate, bench.through(condition), said=name)
        table += [
            {
                "id": row.sample.id,
                "source": row.sample.source,
                "distractor": name,
                "consulted": answer.consulted,
                **{f"{g.kind}_consults": bool(g.consults(answer.scores[g.kind])) for g in others},
                "base": plain.text,
                "safe": answer.text,
                "identical": answer.tokens == plain.tokens,
                "base_score": correctness(row.sample, layouts, plain.text),
                "safe_score": correctness(row.sample, layouts, answer.text),
            }
            for row, answer, plain in zip(rows, given, base, strict=True)
        ]
    write_table(context, NOISE, table)
    by_name = {name: [r for r in table if r["distractor"] == name] for name in distractors}
    return [
        _false_consultation(by_name, gate, others),
        _worst(
            {
                name: METERS.difference(
                    "vl_under_noise",
                    [r["base_score"] for r in rows],
                    [r["safe_score"] for r in rows],
                    [r["source"] for r in rows],
                    seed=seed,
                    identical=all(r["identical"] for r in rows),
                    per_item=NOISE,
                )
                for name, rows in by_name.items()
            }
        ),
    ]


def _false_consultation(
    by_name: Mapping[str, Table], gate: UncertaintyGate, others: Sequence[UncertaintyGate]
) -> Metric:
    """The worst over policies and distractors; of the selected gate, what it did is counted."""
    counts = {
        (policy.kind, name): sum(
            r["consulted" if policy == gate else f"{policy.kind}_consults"] for r in rows
        )
        for policy in others
        for name, rows in by_name.items()
    }
    (kind, name), count = max(counts.items(), key=lambda item: item[1])
    n = len(by_name[name])
    return METERS.measured(
        "false_consultation",
        count / n,
        n,
        ci=wilson(count, n),
        per_item=NOISE,
        detail={
            "policy": kind,
            "distractor": name,
            "selected": gate.kind,
            "rates": {f"{k}, {d}": c / n for (k, d), c in counts.items()},
        },
    )


def _gate_robust(
    context: Context,
    bench: HarnessBench,
    gate: UncertaintyGate,
    others: Sequence[UncertaintyGate],
    hearing: Sequence[Row],
    seeing: Sequence[Row],
) -> Metric:
    config, layouts = context.config.evaluation, _layouts(context.config)
    half = config.sweep_items // 2
    rows = [*hearing[:half], *seeing[: config.sweep_items - half]]
    table: Table = []
    conditions = sweep(
        bench.rate,
        snr_db=config.snr_db,
        clipping=config.clipping,
        sampling_rates=config.sampling_rates,
    )
    for condition in conditions:
        given = bench.answer(rows, gate, bench.through(condition), said=condition.name)
        table += [
            {
                "id": row.sample.id,
                "needs_sound": i < half,
                "condition": condition.name,
                "kind": condition.kind,
                "level": condition.level,
                "consulted": answer.consulted,
                **{f"{g.kind}_consults": bool(g.consults(answer.scores[g.kind])) for g in others},
                "score": correctness(row.sample, layouts, answer.text),
            }
            for i, (row, answer) in enumerate(zip(rows, given, strict=True))
        ]
    write_table(context, SWEEP, table)
    by_condition = {c.name: [r for r in table if r["condition"] == c.name] for c in conditions}
    harness_plots.quality(context, conditions, by_condition)
    columns = {"selected": "consulted"} | {g.kind: f"{g.kind}_consults" for g in others}
    rates = {
        policy: {name: _mean([r[column] for r in part]) for name, part in by_condition.items()}
        for policy, column in columns.items()
    }
    spreads = {policy: max(r.values()) - min(r.values()) for policy, r in rates.items()}
    return METERS.measured(
        "gate_robust",
        max(spreads.values()),
        len(rows),
        per_item=SWEEP,
        detail={
            "conditions": len(conditions),
            "spread": spreads,
            "consulted": rates["selected"],
            "audio_accuracy": {
                name: _mean([r["score"] for r in part if r["needs_sound"]])
                for name, part in by_condition.items()
            },
            "why": "a heuristic gate decides before any sound is heard",
        },
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _worst(found: Mapping[str, Metric]) -> Metric:
    """The metric whose interval reaches highest, with all of them in its detail."""
    for metric in found.values():
        if metric.provenance != "measured":
            return metric
    bounds = {name: m.ci.high for name, m in found.items() if m.ci is not None}
    name = max(bounds, key=lambda n: bounds[n])
    worst = found[name]
    detail = dict(worst.detail) | {"worst": name, "upper_bounds": bounds}
    return worst.model_copy(update={"detail": detail})
