"""`safe sign`: save a signed copy of the launch checklist."""

from __future__ import annotations

from pathlib import Path

from safe.gates.launching import check_launch
from safe.gates.run import GateRun
from safe.gates.signatures import write_signature
from safe.report.page import render


def sign(run: GateRun, *, name: str, comment: str = "") -> Path:
    """Sign the current launch of a run and render its page again.

    Returns:
        The folder of the signed copy.

    Raises:
        GateClosed: the launch is NO-GO.
        EvidenceError: the name is empty, or name or comment is too long.
    """
    launch = check_launch(run)
    page = render(run).read_text(encoding="utf-8")
    folder = write_signature(run.folder, launch, page, name=name, comment=comment)
    render(run)
    return folder
