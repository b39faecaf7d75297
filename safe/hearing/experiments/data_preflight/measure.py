"""Experiment 01: is the data fit to train and to compare models on?

Reads the output of `safe prepare-data`. Without media, metrics that need them are `unavailable`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safe.gates.schema import Metric
from safe.hearing.context import Context
from safe.hearing.data.audit.base import Finding, connect, undeclared
from safe.hearing.experiments.data_preflight import METRICS
from safe.hearing.prepare.data import read_data_json

if TYPE_CHECKING:
    import duckdb

SHEET_PAIRS = 32
POOLED_UNDER = 100  # sounds or pictures of a dataset with fewer files are pooled


def unavailable(name: str, reason: str) -> Metric:
    """Return metric `name` as unavailable, with the reason."""
    unit = str(METRICS[name]["unit"])
    return Metric(name=name, value=None, unit=unit, n=0, provenance="unavailable", reason=reason)


def _measured(name: str, value: float, n: int, **more: Any) -> Metric:
    unit = str(METRICS[name]["unit"])
    return Metric(name=name, value=value, unit=unit, n=n, provenance="measured", **more)


def measure(context: Context) -> list[Metric]:
    """Compute all twelve metrics of experiment 01; write plots, contact and spot-check sheets."""
    config = context.config
    data = read_data_json(config)
    context.digests["data"] = data["digest"]
    media = context.manifest.with_name("media.parquet")
    with connect(context.manifest, config.datasets, media, threads=config.threads) as base:
        metrics = audit_metrics(base, context, with_media=True)
        _draw(base, context)
    metrics += curriculum_metrics(context)
    return metrics


def audit_metrics(
    base: duckdb.DuckDBPyConnection, context: Context, *, with_media: bool
) -> list[Metric]:
    """Compute the nine metrics of the data; `safe audit` calls this without media."""
    names = (
        "files_load",
        "cross_split_duplicates",
        "held_out_copies",
        "duplicate_recall",
        "alignment",
        "mismatch",
    )
    has = with_media and base.execute("SELECT count(*) FROM media").fetchall()[0][0] > 0
    metrics = [
        _no_leakage(base, context),
        _rows_not_read(base, context, with_media=has),
        _class_balance(base, context),
    ]
    if not has:
        reason = "there are no media; only annotation files were read"
        missing = {name: unavailable(name, reason) for name in names}
        name = "cross_split_duplicates"  # similar texts are found without media
        missing[name] = missing[name].model_copy(update={"detail": _text_detail(base, context)})
        return metrics + list(missing.values())
    absent = [d.name for d in context.config.datasets if not d.media]
    if absent:
        reason = f"there are no media of {', '.join(absent)} are absent"
        return metrics + [unavailable(name, reason) for name in names]
    metrics += [_files_load(base), *_duplicates(base, context)]
    return metrics + _alignment(base, context)


def _text_detail(base: duckdb.DuckDBPyConnection, context: Context) -> dict[str, Any]:
    from safe.hearing.data.audit.texts import find_near_texts

    threshold = context.config.preflight.near_text_similarity
    return {"findings": _listed(find_near_texts(base, threshold))}


def _listed(findings: list[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]


def _no_leakage(base: duckdb.DuckDBPyConnection, context: Context) -> Metric:
    from safe.hearing.data.audit.leakage import find_leakage

    findings = find_leakage(base, context.config.datasets)
    rows = base.execute("SELECT count(*) FROM samples").fetchall()[0][0]
    return _measured(
        "no_leakage", undeclared(findings), rows, detail={"findings": _listed(findings)}
    )


def _rows_not_read(
    base: duckdb.DuckDBPyConnection, context: Context, *, with_media: bool
) -> Metric:
    from safe.hearing.data.audit.completeness import find_unread

    findings, rows = find_unread(base, context.config.datasets, with_media=with_media)
    return _measured(
        "rows_not_read", undeclared(findings), rows, detail={"findings": _listed(findings)}
    )


def _class_balance(base: duckdb.DuckDBPyConnection, context: Context) -> Metric:
    from safe.hearing.data.audit.balance import class_balance

    balances = class_balance(base, context.config.datasets)
    judged = [b for b in balances if b.judged]
    shown = []
    for balance in sorted(balances, key=lambda b: -b.ratio):
        counts = list(balance.counts.items())
        row = asdict(balance) | {"classes": len(counts)}
        row["counts"] = dict(counts if len(counts) <= 12 else counts[:6] + counts[-6:])
        shown.append(row)
    if not judged:
        reason = "no dataset declares a label field with enough rows, or all are declared intended"
        return unavailable("class_balance", reason).model_copy(update={"detail": {"fields": shown}})
    worst = max(judged, key=lambda b: b.ratio)
    rows = sum(b.rows for b in judged)
    where = f"{worst.dataset}: {worst.field} {worst.question_type}".strip()
    return _measured("class_balance", worst.ratio, rows, detail={"worst": where, "fields": shown})


def _files_load(base: duckdb.DuckDBPyConnection) -> Metric:
    from safe.gates.statistics import wilson

    rows = base.execute(
        """
        SELECT dataset || ', ' || kind, count(*) FILTER (ok), count(*) FROM media
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    reasons = base.execute(
        """
        SELECT dataset, kind, reason, count(*), list(parse_filename(path) ORDER BY path)[:5]
        FROM media WHERE NOT ok GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    groups = {name: (good, n) for name, good, n in rows if n >= POOLED_UNDER}
    small = [(good, n) for _, good, n in rows if n < POOLED_UNDER]
    if small:
        groups["few files, pooled"] = (sum(g for g, _ in small), sum(n for _, n in small))
    # The worst group decides, so that many intact files cannot hide a few broken ones.
    intervals = {name: wilson(good, n) for name, (good, n) in groups.items()}
    worst = min(groups, key=lambda name: (intervals[name].low, name))
    good, n = groups[worst]
    keys = ("dataset", "kind", "reason", "files", "examples")
    return _measured(
        "files_load",
        good / n,
        n,
        ci=intervals[worst],
        detail={
            "worst": worst,
            "groups": {name: {"ok": g, "files": m} for name, g, m in rows},
            "undecodable": [dict(zip(keys, row, strict=True)) for row in reasons],
        },
    )


def _duplicates(base: duckdb.DuckDBPyConnection, context: Context) -> list[Metric]:
    """Copies across splits, copies within held-out splits, and the recall of the detectors."""
    from safe.hearing.data.audit import duplicates
    from safe.hearing.data.audit.texts import find_near_texts

    settings = context.config.preflight
    duplicates.prepare_places(base)
    images = duplicates.find_near_images(base, settings)
    heard = duplicates.find_near_audio(base, settings)
    across = [
        *duplicates.find_exact(base),
        *duplicates.as_findings(images[0] + heard[0]),
        *find_near_texts(base, settings.near_text_similarity),
    ]
    within = [
        *duplicates.find_exact_within(base),
        *duplicates.as_findings(images[1] + heard[1]),
    ]
    items = base.execute("SELECT count(*) FROM media WHERE ok").fetchall()[0][0]
    return [
        _measured(name, undeclared(findings), items, detail={"findings": _listed(findings)})
        for name, findings in (("cross_split_duplicates", across), ("held_out_copies", within))
    ] + [_recall(base, context)]


def _recall(base: duckdb.DuckDBPyConnection, context: Context) -> Metric:
    """The lowest recall over kinds of changes."""
    from safe.gates.statistics import wilson
    from safe.hearing.data.audit.recall import measure_recall

    shown = []
    for recall in measure_recall(base, context.config.preflight, context.config.seed):
        interval = wilson(recall.found, recall.copies)
        shown.append((recall.found / recall.copies, interval, recall))
    share, interval, worst = min(shown, key=lambda row: row[1].low)
    return _measured(
        "duplicate_recall",
        share,
        worst.copies,
        ci=interval,
        detail={
            "worst": f"{worst.detector}: {worst.change}",
            "recall": [
                asdict(recall) | {"recall": own, "ci": bounds.model_dump()}
                for own, bounds, recall in shown
            ],
        },
    )


def _alignment(base: duckdb.DuckDBPyConnection, context: Context) -> list[Metric]:
    from safe.gates.statistics import wilson
    from safe.hearing.data.audit.alignment import find_pairs, read_verdicts

    settings = context.config.preflight
    pairs = find_pairs(base, context.config.seed)
    if not pairs:
        reason = "no dataset has times of events (options.events)"
        return [unavailable("alignment", reason), unavailable("mismatch", reason)]
    table = _write_pairs(pairs, context.folder / "alignment.parquet")
    context.evidence.append(table)
    looked = pairs[: settings.alignment_pairs]
    aligned = sum(pair.aligned for pair in looked)
    tried = [pair for pair in looked if pair.label_ok is not None]
    alignment = _measured(
        "alignment",
        aligned / len(looked),
        len(looked),
        ci=wilson(aligned, len(looked)),
        per_item=table,
        detail={
            "time_ok": sum(pair.time_ok for pair in looked),
            "labels_tried": len(tried),
            "labels_agree": sum(pair.label_ok is True for pair in tried),
            "misaligned": [pair.id for pair in looked if not pair.aligned][:10],
        },
    )
    shown = [pair for pair in pairs if pair.tried] or pairs
    wrong = {pair.id: bool(pair.obvious) for pair in shown}
    detail: dict[str, Any] = {"examples": [f"{p.id}: {p.obvious}" for p in pairs if p.obvious][:10]}
    if settings.verdict_file is not None:
        signed, verdicts = read_verdicts(settings.verdict_file)
        known = {key: value for key, value in verdicts.items() if key in {p.id for p in pairs}}
        wrong |= known  # human verdicts override the detector
        detail["spot_check"] = {
            "signed_by": signed,
            "pairs": len(known),
            "mismatched": sum(known.values()),
            "unknown_ids": len(verdicts) - len(known),
        }
    count = sum(wrong.values())
    share, interval = count / len(wrong), wilson(count, len(wrong))
    return [
        alignment,
        _measured("mismatch", share, len(wrong), ci=interval, per_item=table, detail=detail),
    ]


def _write_pairs(pairs: list[Any], path: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from safe.files import atomic

    rows = [asdict(pair) | {"labels": list(pair.labels), "aligned": pair.aligned} for pair in pairs]
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)
    return path.name


def curriculum_metrics(context: Context) -> list[Metric]:
    """Check batches of the training sampler and scripted stage transitions."""
    from safe.hearing.data.audit.composition import draw_stages
    from safe.hearing.data.manifest import load_samples
    from safe.hearing.training.transition_traces import rehearse

    config = context.config
    samples = load_samples(context.manifest, split="train")
    stages = draw_stages(
        samples, config.curriculum, batches=config.preflight.batches, seed=config.seed
    )
    detail = {"stages": [asdict(stage) for stage in stages]}
    checks = rehearse(config.curriculum)
    wrong = [asdict(check) for check in checks if check.wrong]
    batches = sum(stage.batches for stage in stages)
    rows = sum(stage.rows for stage in stages)
    worst = max(stage.worst for stage in stages)
    return [
        # Shares are ratios of small integers: rounding to 12 digits removes floating-point error.
        _measured("batch_composition", round(worst, 12), batches, detail=detail),
        _measured("difficulty_filter", sum(s.outside for s in stages), rows, detail=detail),
        _measured(
            "stage_transitions",
            len(wrong),
            len(checks),
            detail={"scripts": sorted({c.script for c in checks}), "wrong": wrong[:10]},
        ),
    ]


def _draw(base: duckdb.DuckDBPyConnection, context: Context) -> None:
    from safe.hearing.data.audit.plots import draw_contact_sheet, draw_histograms

    folder = context.folder / "plots"
    names = [dataset.name for dataset in context.config.datasets]
    files = draw_histograms(base, names, folder, media=True)
    for name in names:
        sheet = folder / f"contact_sheet_{name}.png"
        if draw_contact_sheet(base, name, sheet, context.config.seed):
            files.append(sheet)
    context.plots += [str(file.relative_to(context.folder)) for file in files]
    _write_sheet(base, context)


def _write_sheet(base: duckdb.DuckDBPyConnection, context: Context) -> None:
    from safe.hearing.data.audit.sheet import write_sheet
    from safe.hearing.data.manifest import iterate_samples

    chosen = {
        row[0]
        for row in base.execute(
            """
            SELECT id FROM samples WHERE audio_key <> ''
            ORDER BY (image_key = ''), hash(id || ?), id LIMIT ?
            """,
            [str(context.config.seed), SHEET_PAIRS],
        ).fetchall()
    }
    if chosen:
        samples = [s for s in iterate_samples(context.manifest) if s.id in chosen]
        write_sheet(samples, context.folder / "spot_check.html", f"run {context.config.run}")
        context.evidence.append("spot_check.html")
