"""Signed copies of the launch checklist.

A signature is a folder below results/RUN/signed with the signed page and signature.json: name,
time, digest of the evidence and digest of the page. It records that a person reviewed the evidence.
It is not a cryptographic signature: anyone with write access to the folder can create one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from safe.digest import digest_file
from safe.errors import EvidenceError, SafeError
from safe.files import write_json, write_text
from safe.gates.documents import read_json
from safe.gates.launching import evidence_of
from safe.gates.schema import SCHEMA_VERSION, Document
from safe.reading import explain_validation

FOLDER, RECORD, PAGE = "signed", "signature.json", "launch_checklist.html"
HINT = "delete the folder and sign again"


class Signature(Document):
    """Who signed, when (ISO 8601, UTC), and what."""

    schema_version: int = SCHEMA_VERSION
    run: str
    verdict: Literal["GO", "NO-GO"]
    name: str = Field(min_length=1, max_length=200)
    comment: str = Field(default="", max_length=2000)
    time: str
    evidence: str = Field(pattern=r"^[0-9a-f]{64}$")
    page: str = Field(pattern=r"^[0-9a-f]{64}$")


class Standing(Document):
    """The current state of a signature; `fault` is the reason why it is invalid, or None."""

    folder: str
    signature: Signature | None
    fault: str | None


def write_signature(
    run_folder: Path,
    launch: Mapping[str, Any],
    page: str,
    *,
    name: str,
    comment: str = "",
    now: datetime | None = None,
) -> Path:
    """Save a signed copy of `page`.

    Args:
        launch: content of launch.json, which the page shows.
        name: name of the person who signs.

    Returns:
        The folder of the signed copy.

    Raises:
        EvidenceError: the name is empty, name or comment is too long, or a signature of the same
            second exists.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    folder = run_folder / FOLDER / moment.strftime("%Y%m%dT%H%M%SZ")
    if folder.exists():
        raise EvidenceError("a signature of this second exists", where=folder, hint="wait a second")
    folder.mkdir(parents=True)
    try:
        write_text(folder / PAGE, page)
        signature = Signature(
            run=launch["run"],
            verdict=launch["verdict"],
            name=name.strip(),
            comment=comment.strip(),
            time=moment.isoformat(),
            evidence=evidence_of(launch),
            page=digest_file(folder / PAGE),
        )
        write_json(folder / RECORD, signature.model_dump(mode="json"))
    except BaseException as error:
        for path in (folder / PAGE, folder / RECORD):
            path.unlink(missing_ok=True)
        folder.rmdir()
        if isinstance(error, ValidationError):
            what = explain_validation(error, Signature, folder)
            raise EvidenceError(what, hint="sign with --name 'Your Name'") from None
        raise
    return folder


def read_signatures(run_folder: Path, launch: Mapping[str, Any]) -> list[Standing]:
    """Return all signatures of a run, oldest first, checked against the current evidence."""
    evidence = evidence_of(launch)
    found = []
    for folder in sorted((run_folder / FOLDER).glob("*")):
        signature, fault = None, None
        try:
            signature = _read(folder / RECORD)
            if digest_file(folder / PAGE) != signature.page:
                fault = "the page was changed after it was signed"
            elif signature.evidence != evidence:
                fault = "the evidence has changed since it was signed"
        except (SafeError, OSError) as error:
            fault = " ".join(str(error).split())
        found.append(Standing(folder=f"{FOLDER}/{folder.name}", signature=signature, fault=fault))
    return found


def _read(path: Path) -> Signature:
    try:
        return Signature.model_validate(read_json(path, hint=HINT))
    except ValidationError as error:
        raise EvidenceError(explain_validation(error, Signature, path), hint=HINT) from None
