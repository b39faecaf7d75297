"""Read measurements and decisions; reject broken or edited files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from safe.errors import EvidenceError
from safe.gates.schema import SCHEMA_VERSION, Decision, Measurement, decision_digest
from safe.reading import explain_validation


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def read_json(path: Path, *, hint: str) -> Any:
    """Parse strict JSON (no NaN).

    Raises:
        EvidenceError: the file is missing, unreadable or truncated; names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        raise EvidenceError("no such file", where=path, hint=hint) from None
    except json.JSONDecodeError as error:
        raise EvidenceError(
            f"broken JSON: {error.msg}", where=path, line=error.lineno, hint=hint
        ) from None
    except (OSError, ValueError) as error:
        raise EvidenceError(f"cannot be read: {error}", where=path, hint=hint) from None


def _check_version(document: Any, path: Path, hint: str) -> None:
    if not isinstance(document, dict):
        raise EvidenceError("not a JSON object", where=path, hint=hint)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise EvidenceError(
            f"schema version is {version!r}, expected {SCHEMA_VERSION}",
            where=path,
            key="schema_version",
            hint=hint,
        )


def read_measurement(path: Path) -> Measurement:
    """Read measurement.json.

    Raises:
        EvidenceError: the file is missing, broken or does not match the schema.
    """
    hint = "measure again: delete the file and start the run"
    document = read_json(path, hint=hint)
    _check_version(document, path, hint)
    try:
        return Measurement.model_validate(document)
    except ValidationError as error:
        raise EvidenceError(explain_validation(error, Measurement, path), hint=hint) from None


def read_decision(path: Path) -> Decision:
    """Read decision.json and verify its digest.

    Raises:
        EvidenceError: the file is missing, broken, edited, or does not match the schema.
    """
    hint = f"judge again: safe judge {path.parent.parent} {path.parent.name}"
    document = read_json(path, hint=hint)
    _check_version(document, path, hint)
    try:
        decision = Decision.model_validate(document)
    except ValidationError as error:
        raise EvidenceError(explain_validation(error, Decision, path), hint=hint) from None
    if decision.digests.get("decision") != decision_digest(decision):
        raise EvidenceError(
            "the content does not match its digest: it was edited after judging",
            where=path,
            key="digests.decision",
            hint=hint,
        )
    return decision


def read_selected(folder: Path, name: str) -> str:
    """Return the candidate selected by a selection of the decision in `folder` (NN_name).

    Raises:
        EvidenceError: the decision is missing or broken, or it selects no candidate.
    """
    path = folder / "decision.json"
    selection = read_decision(path).selections.get(name)
    if selection is None or selection.selected is None:
        why = f"it has no selection {name!r}" if selection is None else selection.reason
        raise EvidenceError(
            f"no candidate is selected: {why}",
            where=path,
            hint=f"see `safe explain {folder.name[:2]}`",
        )
    return selection.selected
