"""Collect the page's content from a run's files; missing or broken files are reported."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from safe.digest import digest_json
from safe.errors import SafeError
from safe.gates.criteria import load_each
from safe.gates.documents import read_decision, read_json, read_measurement
from safe.gates.explain import downstream
from safe.gates.formatting import statement
from safe.gates.pipeline import HeaderField
from safe.gates.run import GateRun
from safe.gates.schema import CriteriaFile, Criterion, Decision, Judged, Measurement, Metric
from safe.gates.signatures import read_signatures
from safe.gates.status import OPEN, StatusRow, rows_of
from safe.report import format as fmt
from safe.report.inline import Plot, link, plot
from safe.report.svg import interval_bar

STATUS_WORDS = {
    "go": "GO",
    "waived": "GO by waiver",
    "no-go": "NO-GO",
    "blocked": "Blocked",
    "stale": "Stale",
    "not-run": "Not run",
}
MAX_DETAIL = 6_000  # characters of a metric's detail


def _read(folder: Path) -> tuple[Decision | None, Measurement | None, list[str]]:
    """Return (decision, measurement, errors); a missing file is None without an error."""
    problems: list[str] = []
    decision, measurement = None, None
    if (folder / "decision.json").is_file():
        try:
            decision = read_decision(folder / "decision.json")
        except SafeError as error:
            problems.append(str(error))
    if (folder / "measurement.json").is_file():
        try:
            measurement = read_measurement(folder / "measurement.json")
        except SafeError as error:
            problems.append(str(error))
    return decision, measurement, problems


def _detail(metric: Metric | None) -> str:
    if metric is None or not metric.detail:
        return ""
    text = json.dumps(metric.detail, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    cut = len(text) - MAX_DETAIL
    return text if cut <= 0 else f"{text[:MAX_DETAIL]}\n… {cut:,} more characters in the file"


def _why(judged: Judged) -> str:
    """Return the reason without its statement; empty for a pass."""
    if judged.verdict == "pass":
        return ""
    why = judged.reason.partition(": ")[2] or judged.reason
    return why[:1].upper() + why[1:]


def _judged_view(
    judged: Judged, metric: Metric | None, run_folder: Path, experiment: str
) -> dict[str, Any]:
    plan = None
    if judged.scaled is not None:
        threshold = judged.scaled["plan"]
        threshold = tuple(threshold) if isinstance(threshold, list) else threshold
        plan = {
            "bound": fmt.bound(judged.op, threshold, judged.unit),
            "reason": judged.scaled["reason"],
        }
    return {
        "id": judged.id,
        "claim": judged.claim,
        "metric": judged.metric,
        "verdict": judged.verdict,
        "severity": judged.severity,
        "value": fmt.show(judged.value, judged.unit, judged.threshold),
        "unit": fmt.word(judged.unit),
        "interval": fmt.interval(judged),
        "method": "" if judged.ci is None else judged.ci.method,
        "bar": interval_bar(judged, statement(judged)),
        "bound": fmt.bound(judged.op, judged.threshold, judged.unit),
        "plan": plan,
        "n": judged.n,
        "item_count": judged.items,
        "provenance": judged.provenance,
        "decides": fmt.DECIDES[judged.decide_on],
        "margin": _signed(judged.margin, judged.unit),
        "why": _why(judged),
        "statement": statement(judged),
        "rationale": judged.rationale,
        "waiver": judged.waiver,
        "evidence": [link(run_folder, experiment, e) for e in judged.evidence],
        "note": "" if metric is None or judged.verdict == "unavailable" else metric.reason or "",
        "summary": "" if metric is None else str(metric.detail.get("summary", "")),
        "detail": _detail(metric),
    }


def _selections(decision: Decision) -> list[dict[str, Any]]:
    """Return the result of each selection, with its limits and the plan's."""
    return [
        {
            "name": name,
            "selected": found.selected,
            "candidates": found.candidates,
            "rationale": found.rationale,
            "reason": found.reason,
            "limits": [
                {
                    "value": limit.value,
                    "bound": fmt.bound(limit.op, limit.threshold, ""),
                    "plan": None if limit.scaled is None else {
                        "bound": fmt.bound(limit.op, limit.scaled["plan"], ""),
                        "reason": limit.scaled["reason"],
                    },
                    "satisfied": limit.satisfied,
                    "confirms": limit.confirms,
                    "rationale": limit.rationale,
                }
                for limit in found.limits
            ],
        }
        for name, found in decision.selections.items()
    ]  # fmt: skip


def _signed(margin: float | None, unit: str) -> str:
    return ("+" if margin is not None and margin > 0 else "") + fmt.show(margin, unit)


def _planned_view(criterion: Criterion, metric: Metric | None, scale: str | None) -> dict[str, Any]:
    """Return a criterion that no decision covers, with the measured value if there is one."""
    return {
        "id": criterion.id,
        "claim": criterion.claim,
        "severity": criterion.severity,
        "bound": fmt.bound(criterion.op, criterion.threshold_at(scale), criterion.unit),
        "decides": fmt.DECIDES[criterion.decide_on],
        "min_n": criterion.min_n,
        "rationale": criterion.rationale,
        "value": None if metric is None else fmt.show(metric.value, metric.unit),
    }


def _experiment_view(
    run_folder: Path,
    row: StatusRow,
    criteria: CriteriaFile | None,
    rows: dict[str, StatusRow],
    scale: str | None,
) -> dict[str, Any]:
    name = row.experiment
    decision, measurement, problems = _read(run_folder / name)
    metrics = {} if measurement is None else {m.name: m for m in measurement.metrics}
    judged = [] if decision is None else decision.criteria
    covered = {j.id for j in judged}
    planned = [] if criteria is None else [c for c in criteria.criteria if c.id not in covered]
    used = {j.metric for j in judged} | {c.metric for c in planned}
    drawn = [] if measurement is None else [plot(run_folder, name, p) for p in measurement.plots]
    files = [] if measurement is None else measurement.evidence
    evidence = [link(run_folder, name, f) for f in files]
    return {
        "name": name,
        "number": name[:2],
        "title": row.title,
        "objective": "" if criteria is None else criteria.objective,
        "status": row.status,
        "word": STATUS_WORDS[row.status],
        "open": row.status in OPEN,
        "verdict": row.verdict,
        "optional": row.optional,
        "needs": row.needs,
        "reason": row.reason,
        "next": row.next,
        "unblocks": [] if row.status in OPEN else downstream(rows, name),
        "problems": [p for p in problems if p != row.reason],
        "changed": decision is not None and decision.criteria_changed_after_measuring,
        "judged": [_judged_view(j, metrics.get(j.metric), run_folder, name) for j in judged],
        "selections": [] if decision is None else _selections(decision),
        "planned": [_planned_view(c, metrics.get(c.metric), scale) for c in planned],
        "passed": sum(j.verdict in ("pass", "waived") for j in judged if j.severity == "required"),
        "required": sum(c.severity == "required" for c in (judged or planned)),
        "waivers": [j for j in judged if j.waiver is not None],
        "plots": [p for p in drawn if isinstance(p, Plot)],
        "links": [p for p in drawn if not isinstance(p, Plot)] + evidence,
        "others": [m for n, m in metrics.items() if n not in used],
        "measurement": measurement,
        "decision": decision,
        "facts": _facts(measurement, decision),
    }


def _facts(measurement: Measurement | None, decision: Decision | None) -> list[tuple[str, str]]:
    """Return (label, value) of the provenance of an experiment's numbers."""
    if measurement is None:
        return []
    facts = [
        ("measured", measurement.started.replace("T", " ").replace("+00:00", " UTC")),
        ("duration", fmt.seconds(measurement.duration_s)),
        ("peak memory", fmt.size(measurement.peak_memory_bytes)),
    ]
    for name, parent in sorted(measurement.upstream.items()):
        facts.append((f"under {name}", f"{parent.verdict}, evidence {parent.evidence[:12]}"))
    facts += [(f"{name} seed", str(seed)) for name, seed in sorted(measurement.seeds.items())]
    digests = dict(measurement.digests)
    if decision is not None:
        digests |= {k: v for k, v in decision.digests.items() if k in ("evidence", "decision")}
    return facts + [(f"{name} digest", value) for name, value in sorted(digests.items())]


def _header(
    run_folder: Path, experiments: list[dict[str, Any]], fields: list[HeaderField]
) -> tuple[dict[str, Any], str]:
    """Return (facts for the page's header, error in config.json or an empty string)."""
    problem, config = "", {}
    try:
        config = read_json(run_folder / "config.json", hint="start the run")
        if not isinstance(config, dict):
            config, problem = {}, f"{run_folder / 'config.json'}: not a JSON object"
        elif "scale" not in config:
            problem = f"{run_folder / 'config.json'}: not a run's config, it has no scale"
    except SafeError as error:
        problem = str(error)
    measured = [e["measurement"].environment for e in experiments if e["measurement"]]
    environments = [found for e in measured for found in (e, *e.get("jobs", []))]

    def distinct(key: str) -> list[Any]:
        return sorted({str(e[key]) for e in environments if e.get(key) is not None})

    header = {
        "scale": config.get("scale"),
        "config": digest_json(config) if config else None,
        "commits": distinct("git_commit"),
        "dirty": any(e.get("git_dirty") for e in environments),
        "dirty_known": bool(environments)
        and all(e.get("git_dirty") is not None for e in environments),
        "seed": config.get("seed"),
        "fields": _fields(config, fields),
        "devices": distinct("device"),
        "hosts": distinct("host"),
    }
    return header, problem


def _fields(config: dict[str, Any], fields: list[HeaderField]) -> list[tuple[str, str]]:
    """Return (label, value) of the settings that the pipeline shows."""
    found = []
    for field in fields:
        values = [config]
        for key in field.key.split("."):
            below = [v[key] for v in values if isinstance(v, dict) and key in v]
            values = [e for v in below for e in (v if isinstance(v, list) else [v])]
        text = ", ".join(str(v) for v in values if v is not None) or field.missing
        if text is not None:
            found.append((field.label, text))
    return found


def build(run: GateRun, launch: dict[str, Any]) -> dict[str, Any]:
    """Return the template's variables. Broken files in the run's folder raise no error."""
    run_folder = run.folder
    files, faults = load_each(run.criteria)
    rows = rows_of(run, files, faults=faults)
    by_name = {f.experiment: f for f in files}
    experiments = [
        _experiment_view(run_folder, row, by_name.get(name), rows, launch.get("scale"))
        for name, row in rows.items()
    ]
    problems, title, go, fields = [], "Launch checklist", "", []
    try:
        pipeline = run.pipeline()
        title, go, fields = pipeline.title, pipeline.go, pipeline.header
    except SafeError as error:
        problems.append(str(error))
    header, problem = _header(run_folder, experiments, fields)
    problems += [problem] if problem else []
    if not rows:
        problems.append(f"{run.criteria}: no criteria files")
    waived = [
        {"experiment": e["name"], "id": j.id, "statement": statement(j), **(j.waiver or {})}
        for e in experiments
        for j in e["waivers"]
    ]
    required = [e for e in experiments if not e["optional"]]
    return {
        "run": run_folder.name,
        "title": title,
        "go": go,
        "folder": shlex.quote(str(run_folder)),
        "launch": launch,
        "header": header,
        "problems": problems,
        "experiments": experiments,
        "waivers": waived,
        "signatures": read_signatures(run_folder, launch),
        "changed": [e["name"] for e in experiments if e["changed"]],
        "done": sum(e["open"] for e in required),
        "required": len(required),
        "next": next((e for e in experiments if not e["open"] and e["next"]), None),
        "words": STATUS_WORDS,
    }
