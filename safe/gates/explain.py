"""`safe explain`: deciding values, their distance to the bound, and blocked experiments."""

from __future__ import annotations

from typing import Any

from safe.errors import SafeError
from safe.gates.criteria import load_all
from safe.gates.documents import read_decision, read_measurement
from safe.gates.formatting import number
from safe.gates.run import GateRun
from safe.gates.status import OPEN, StatusRow, rows_of

MARKS = {"pass": "+", "waived": "w", "fail": "x", "inconclusive": "?"}


def downstream(rows: dict[str, StatusRow], experiment: str) -> list[str]:
    """Return all experiments that cannot run before `experiment` is GO."""
    reached = {experiment}
    for name, row in rows.items():  # in order, so one pass is enough
        if reached & set(row.needs):
            reached.add(name)
    return sorted(reached - {experiment})


def explain_run(run: GateRun, experiment: str | None = None) -> list[dict[str, Any]]:
    """Return the output of `safe explain` as plain values, one entry per experiment.

    Raises:
        ConfigError: the criteria cannot be read.
    """
    rows = rows_of(run, load_all(run.criteria))
    names = list(rows) if experiment is None else [experiment]
    return [_entry(run, rows, name) for name in names]


def _entry(run: GateRun, rows: dict[str, StatusRow], name: str) -> dict[str, Any]:
    row = rows[name]
    entry: dict[str, Any] = {
        "experiment": name,
        "status": row.status,
        "reason": row.reason,
        "next": row.next,
        "evidence": row.evidence,
        "unblocks": [] if row.status in OPEN else downstream(rows, name),
        "criteria": [],
        "selections": {},
    }
    try:
        decision = read_decision(run.folder / name / "decision.json")
    except SafeError:
        return entry  # `reason` already describes the error
    summaries = _summaries(run, name)
    entry["selections"] = {n: s.reason for n, s in decision.selections.items()}
    entry["criteria"] = [
        {
            "id": j.id,
            "verdict": j.verdict,
            "severity": j.severity,
            "reason": j.reason,
            "value": j.value,
            "margin": j.margin,
            "unit": j.unit,
            "rationale": j.rationale,
            "summary": summaries.get(j.metric),
        }
        for j in decision.criteria
    ]
    return entry


def _summaries(run: GateRun, name: str) -> dict[str, str]:
    """Return metric -> `summary` of its detail, for metrics that have one."""
    try:
        measurement = read_measurement(run.folder / name / "measurement.json")
    except SafeError:
        return {}  # `reason` already describes the error
    return {m.name: str(m.detail["summary"]) for m in measurement.metrics if "summary" in m.detail}


def as_text(entries: list[dict[str, Any]]) -> str:
    """Format entries as text. With several entries, passed criteria are omitted."""
    lines: list[str] = []
    for entry in entries:
        lines.append(f"{entry['experiment']}: {entry['status']} ({entry['reason']})")
        for c in entry["criteria"]:
            done = c["verdict"] in ("pass", "waived")
            if done and len(entries) > 1:
                continue
            note = "" if c["severity"] == "required" else " [advisory]"
            lines.append(f"  {MARKS.get(c['verdict'], '!')} {c['verdict']}{note}  {c['reason']}")
            if c["margin"] is not None and c["margin"] < 0:
                lines.append(f"      {number(-c['margin'])} from its bound; {c['rationale']}")
            if c["summary"] and len(entries) == 1:
                lines.append(f"      {c['summary']}")
        if len(entries) == 1:
            lines += [f"  selection {n}: {reason}" for n, reason in entry["selections"].items()]
        if entry["unblocks"]:
            lines.append(f"  would unblock: {', '.join(entry['unblocks'])}")
        if entry["next"]:
            lines.append(f"  next: {entry['next']}")
        if entry["evidence"] and len(entries) == 1:
            lines.append(f"  evidence: {entry['evidence']} (for a waiver)")
    return "\n".join(lines)
