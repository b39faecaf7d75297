"""Status of every experiment of a run, and the launch verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from safe.errors import SafeError
from safe.files import write_json
from safe.gates.criteria import criteria_digest, load_all, load_each
from safe.gates.documents import read_decision, read_measurement
from safe.gates.history import earlier_results, read_history
from safe.gates.judge import judge
from safe.gates.recompute import contradiction
from safe.gates.records import foreign, outdated
from safe.gates.reference import SETTINGS, changed_settings, deviations, load_reference
from safe.gates.run import GateRun, difference, open_gate_run, read_config
from safe.gates.schema import (
    SCHEMA_VERSION,
    CriteriaFile,
    Decision,
    Document,
    Parent,
    Status,
    evidence_digest,
)
from safe.gates.token import blocking_reason
from safe.gates.waivers import load_waivers

LAUNCH = "LAUNCH"  # the token, next to launch.json
OPEN: tuple[Status, ...] = ("go", "waived")


class StatusRow(Document):
    """Status of one experiment, its reason and the next command."""

    experiment: str
    title: str
    status: Status
    verdict: Literal["GO", "NO-GO"] | None  # of its decision, if there is one
    optional: bool
    needs: list[str]
    launch_items: list[str]
    reason: str
    next: str | None  # the command to run next
    decision: str | None = None  # digests
    evidence: str | None = None
    criteria: str | None = None
    selected: dict[str, str | None] = Field(default_factory=dict)  # selection -> candidate


def decision_parent(run_folder: Path, experiment: str) -> Parent:
    """Return the record of an upstream decision that is stored in a measurement.

    Raises:
        EvidenceError: the decision is missing, broken or edited.
    """
    decision = read_decision(run_folder / experiment / "decision.json")
    return Parent(
        decision=decision.digests["decision"],
        evidence=decision.digests["evidence"],
        verdict=decision.verdict,
    )


def _command(run_folder: Path, experiment: str, *, force: bool = False, jobs: bool = False) -> str:
    """Return the command for an experiment's GO; `force` measures and `jobs` trains again."""
    target = run_folder / experiment
    config = run_folder / "config.json"
    words = ["snakemake", *(["--configfile", f"{config}"] if config.is_file() else [])]
    words.append(f"{target / 'GO'}")
    if force:
        words += ["--forcerun", f"{target / 'measurement.json'}"]
    if jobs:
        words += [f"{path}" for path in sorted(target.glob("jobs/*/result.json"))]
    return shlex.join(words)


def _one_line(error: SafeError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines())


def _judge_command(run_folder: Path, experiment: str) -> str:
    return shlex.join(["safe", "judge", str(run_folder), experiment])


def _own_status(
    run: GateRun, criteria: CriteriaFile, today: date | None
) -> tuple[Status, str, str | None, Decision | None]:
    """Return (status, reason, next command, decision), without considering upstream experiments."""
    run_folder, name = run.folder, criteria.experiment
    folder = run_folder / name
    if not (folder / "measurement.json").is_file() and not (folder / "decision.json").is_file():
        return "not-run", "nothing was measured yet", _command(run_folder, name), None
    measuring = _command(run_folder, name, force=True)
    try:
        measurement = read_measurement(folder / "measurement.json")
        not_ours = foreign(run, name, measurement)
    except SafeError as error:
        return "no-go", _one_line(error), measuring, None
    if not_ours is not None:
        return "no-go", not_ours, measuring, None
    judging = _judge_command(run_folder, name)
    if not (folder / "decision.json").is_file():
        return "not-run", "it was measured but not judged", judging, None
    try:
        decision = read_decision(folder / "decision.json")
    except SafeError as error:
        return "no-go", _one_line(error), judging, None
    if decision.digests["evidence"] != evidence_digest(measurement):
        return "stale", "measured again since it was judged", judging, decision
    if decision.digests["criteria"] != criteria_digest(criteria):
        return "stale", "its criteria changed since it was judged", judging, decision
    try:
        changed = outdated(run, measurement)
        other = None if changed else contradiction(folder, measurement)
    except SafeError as error:
        return "no-go", _one_line(error), None, decision
    if other is not None:
        return "no-go", other, measuring, decision
    if changed is not None:
        command = _command(run_folder, name, force=True, jobs=changed.startswith(f"{name}/jobs/"))
        return "stale", changed, command, decision
    reason = blocking_reason(decision, today)
    if reason is not None:
        explain = shlex.join(["safe", "explain", name[:2], "--run", str(run_folder)])
        return "no-go", reason, explain, decision
    try:
        again = judge(measurement, criteria, load_waivers(run.waivers), run.scale, today=today)
    except SafeError as error:
        return "no-go", _one_line(error), None, decision
    changed = difference(decision, again)
    if changed is not None:
        return "stale", changed, judging, decision
    waived = [j.id for j in decision.criteria if j.verdict == "waived"]
    if waived:
        return "waived", f"GO by waiver of {', '.join(waived)}", None, decision
    return "go", "every required criterion passes", None, decision


def _other_selection(decision: Decision, rows: dict[str, StatusRow]) -> str | None:
    """Return a message if an upstream experiment now selects another candidate, else None."""
    for need, parent in decision.upstream.items():
        for name, candidate in parent.selected.items():
            now = rows[need].selected.get(name) if need in rows else None
            if now != candidate:
                return f"{need} now selects {now or 'no candidate'}, but this used {candidate}"
    return None


def _upstream(criteria: CriteriaFile, decision: Decision, rows: dict[str, StatusRow]) -> str | None:
    """Return the reason why upstream experiments invalidate a decision, or None."""
    for need in criteria.needs:
        parent = decision.upstream.get(need)
        if parent is None:
            return f"it has no record of {need}"
        if parent.evidence != rows[need].evidence:
            return f"the evidence of {need} has changed since this was measured"
        if rows[need].status not in OPEN:
            return f"{need} is {rows[need].status}"
    return None


def _row(
    run: GateRun, criteria: CriteriaFile, rows: dict[str, StatusRow], today: date | None
) -> StatusRow:
    name = criteria.experiment
    status, reason, command, decision = _own_status(run, criteria, today)
    blocking = [n for n in criteria.needs if rows[n].status in ("no-go", "blocked")]
    if blocking:
        status, command = "blocked", rows[blocking[0]].next
        cause = rows[blocking[0]]
        if cause.status == "blocked":
            reason = cause.reason  # names the first experiment of a chain
        else:
            reason = f"waits for {blocking[0]}, which is NO-GO: {cause.reason}"
    elif decision is not None and status in ("go", "waived", "no-go"):
        invalid, other = _upstream(criteria, decision, rows), _other_selection(decision, rows)
        if invalid or other:
            status, reason = "stale", invalid or other or ""
            command = _command(run.folder, name, force=True, jobs=other is not None)
    elif status == "not-run" and command is not None and decision is None:
        waiting = [n for n in criteria.needs if rows[n].status not in OPEN]
        if waiting:
            reason = f"{reason}; {waiting[0]} must be GO first"
    return StatusRow(
        experiment=name,
        title=criteria.title,
        status=status,
        verdict=None if decision is None else decision.verdict,
        optional=criteria.optional,
        needs=criteria.needs,
        launch_items=criteria.launch_items,
        reason=reason,
        next=command,
        decision=None if decision is None else decision.digests["decision"],
        evidence=None if decision is None else decision.digests["evidence"],
        criteria=None if decision is None else decision.digests["criteria"],
        selected=(
            {} if decision is None else {n: s.selected for n, s in decision.selections.items()}
        ),
    )


def rows_of(
    run: GateRun,
    files: list[CriteriaFile],
    today: date | None = None,
    faults: Mapping[str, SafeError] | None = None,
) -> dict[str, StatusRow]:
    """Return the status of every experiment of `files` and `faults` (invalid criteria files).

    Every measurement is judged again; a decision with another result is stale.
    """
    faults = faults or {}
    by_name = {f.experiment: f for f in files}
    rows: dict[str, StatusRow] = {}
    for name in sorted({*by_name, *faults}):
        if name in by_name:
            rows[name] = _row(run, by_name[name], rows, today)
        else:
            rows[name] = StatusRow(
                experiment=name,
                title=name[3:].replace("_", " ").capitalize(),
                status="no-go",
                verdict=None,
                optional=False,
                needs=[],
                launch_items=[],
                reason=f"its criteria cannot be read: {_one_line(faults[name])}",
                next=None,
            )
    return rows


def statuses(
    run_folder: Path, criteria_folder: Path, today: date | None = None
) -> dict[str, StatusRow]:
    """Return experiment -> status in this run, derived only from files.

    Raises:
        ConfigError: the criteria cannot be read.
    """
    run = open_gate_run(run_folder, criteria=criteria_folder, lenient=True)
    return rows_of(run, load_all(criteria_folder), today)


def launch_document(
    run: GateRun, files: list[CriteriaFile], rows: dict[str, StatusRow]
) -> dict[str, Any]:
    """Return the content of launch.json: the launch verdict and its reasons.

    GO requires every experiment that is not optional to be go or waived, and at least one of them
    to support each item of the pipeline's launch checklist. `deviations` lists the differences from
    the criteria that the pipeline ships; None if it ships no reference. `settings` lists the
    differences from the nearest config that it ships. `earlier` lists decisions on earlier
    measurements or by other criteria.
    """
    items: dict[str, dict[str, Any]] = {}
    reasons = []
    deviating: list[str] | None = None
    settings: dict[str, Any] | None = None
    try:
        pipeline = run.pipeline()
        launch_items = pipeline.launch_items
        shipped = load_reference(pipeline.package)
        deviating = None if shipped is None else deviations(files, shipped)
        settings = _settings(run, pipeline.package)
    except SafeError as error:
        launch_items = {}
        reasons.append(f"the pipeline cannot be read: {_one_line(error)}")
    for item, entry in launch_items.items():
        names = [f.experiment for f in files if item in f.launch_items and not f.optional]
        missing = [f"{n} is {rows[n].status}" for n in names if rows[n].status not in OPEN]
        if not names:
            missing = ["no experiment supports it"]
        items[item] = {
            "title": entry.title,
            "claim": entry.claim,
            "verdict": "NO-GO" if missing else "GO",
            "experiments": names,
            "reasons": missing,
        }
    reasons += [
        f"{name} is {row.status}: {row.reason}"
        for name, row in rows.items()
        if not row.optional and row.status not in OPEN
    ]
    reasons += [
        f"{item['title']}: no experiment supports it"
        for item in items.values()
        if not item["experiments"]
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run.folder.name,
        "scale": run.scale,
        "verdict": "NO-GO" if reasons or not rows else "GO",
        "reasons": reasons,
        "items": items,
        "deviations": deviating,
        "settings": settings,
        "earlier": _earlier(run, rows),
        "experiments": {name: row.model_dump(mode="json") for name, row in rows.items()},
    }


def _settings(run: GateRun, package: str) -> dict[str, Any] | None:
    shipped = load_reference(package, SETTINGS)
    if shipped is None or not (run.folder / "config.json").is_file():
        return None
    nearest, lines = changed_settings(read_config(run.folder), shipped)
    return {"reference": nearest, "differences": lines}


def _earlier(run: GateRun, rows: Mapping[str, StatusRow]) -> list[str]:
    current = {n: (r.evidence, r.criteria) for n, r in rows.items() if r.evidence and r.criteria}
    try:
        return earlier_results(read_history(run.folder), current)
    except SafeError as error:
        return [_one_line(error)]


def write_launch(run: GateRun, today: date | None = None) -> dict[str, Any]:
    """Write results/RUN/launch.json and return its content; an invalid criteria file gives NO-GO.

    A NO-GO also deletes the token of an earlier launch.
    """
    files, faults = load_each(run.criteria)
    rows = rows_of(run, files, today, faults)
    document = launch_document(run, files, rows)
    if document["verdict"] != "GO":
        (run.folder / LAUNCH).unlink(missing_ok=True)
    write_json(run.folder / "launch.json", document)
    return document
