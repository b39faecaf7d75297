"""The history of a run: what was measured and judged, in order; measuring again erases nothing.

`results/RUN/history.jsonl` has one JSON object per line. Each line contains the digest of the line
before it, so a line cannot be changed or removed without breaking the chain.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import ValidationError

from safe.digest import digest_bytes
from safe.errors import EvidenceError
from safe.files import translate_os_error, write_json
from safe.gates.schema import Decision, Document, Measurement, evidence_digest

FILE = "history.jsonl"
HINT = "a run without its history must be measured again, under another name"


class Entry(Document):
    """One line: an experiment was measured, or its measurement was judged."""

    event: Literal["measured", "judged"]
    experiment: str
    evidence: str  # digest of the measurement
    criteria: str  # digest of the criteria
    verdict: Literal["GO", "NO-GO"] | None = None  # of a judged measurement
    when: str  # ISO 8601, UTC
    previous: str = ""  # digest of the previous line


def read_history(run_folder: Path) -> list[Entry]:
    """Return the entries of a run, oldest first. An unfinished last line is left out.

    Raises:
        EvidenceError: a line was edited or removed, or cannot be read; names the line.
    """
    path = run_folder / FILE
    entries: list[Entry] = []
    previous = ""
    for number, line in enumerate(_lines(path), start=1):
        try:
            entry = Entry.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            raise EvidenceError("not an entry", where=path, line=number, hint=HINT) from None
        if entry.previous != previous:
            raise EvidenceError(
                "the previous line was edited or removed", where=path, line=number, hint=HINT
            )
        entries.append(entry)
        previous = digest_bytes(line)
    return entries


def _lines(path: Path) -> list[bytes]:
    """Return the complete lines of a file; none if there is no file."""
    if not path.is_file():
        return []
    with translate_os_error(path):
        return path.read_bytes().split(b"\n")[:-1]


def write_measurement(run_folder: Path, measurement: Measurement) -> Path:
    """Record a measurement in the history and write NN_name/measurement.json; return its path."""
    path = run_folder / measurement.experiment / "measurement.json"
    _append(
        run_folder,
        event="measured",
        experiment=measurement.experiment,
        evidence=evidence_digest(measurement),
        criteria=measurement.digests["criteria"],
    )
    write_json(path, measurement.model_dump(mode="json"))
    return path


def record_decision(run_folder: Path, decision: Decision) -> None:
    """Record a decision; the same decision twice in a row is recorded once."""
    _append(
        run_folder,
        event="judged",
        experiment=decision.experiment,
        evidence=decision.digests["evidence"],
        criteria=decision.digests["criteria"],
        verdict=decision.verdict,
    )


def _append(run_folder: Path, **values: Any) -> None:
    path = run_folder / FILE
    with translate_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{FILE}.lock")):
            earlier = [e for e in read_history(run_folder) if e.experiment == values["experiment"]]
            if values["event"] == "judged" and earlier and _same(earlier[-1], values):
                return
            lines = _lines(path)
            entry = Entry(
                **values,
                when=datetime.now(UTC).isoformat(timespec="seconds"),
                previous=digest_bytes(lines[-1]) if lines else "",
            )
            complete = sum(len(line) + 1 for line in lines)
            with path.open("r+b" if path.is_file() else "wb") as handle:
                handle.truncate(complete)  # a line that a crash left unfinished
                handle.seek(complete)
                handle.write(entry.model_dump_json(exclude_none=True).encode() + b"\n")
                handle.flush()
                os.fsync(handle.fileno())


def _same(entry: Entry, values: Mapping[str, Any]) -> bool:
    return all(getattr(entry, name) == value for name, value in values.items())


def measured_last(entries: Sequence[Entry], experiment: str) -> str | None:
    """Return the evidence digest of an experiment's last measurement; None if there is none."""
    found = [e for e in entries if e.event == "measured" and e.experiment == experiment]
    return found[-1].evidence if found else None


def earlier_results(entries: Sequence[Entry], current: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return one line for each experiment with decisions on other results or by other criteria.

    Args:
        current: experiment -> (evidence digest, criteria digest) of its present decision.
    """
    lines = []
    for experiment, (evidence, criteria) in sorted(current.items()):
        judged = [e for e in entries if e.event == "judged" and e.experiment == experiment]
        for what, before in (
            ("under other criteria", [e for e in judged if e.criteria != criteria]),
            (
                "on an earlier measurement",
                [e for e in judged if e.criteria == criteria and e.evidence != evidence],
            ),
        ):
            if before:
                verdicts = ", ".join(f"{e.verdict} ({e.when[:10]})" for e in before)
                lines.append(f"{experiment}: judged {what}: {verdicts}")
    return lines
