"""`safe sign`: a copy of the launch checklist with a name, a time and the evidence's digest."""

from __future__ import annotations

from pathlib import Path

from safe.gates.launching import check_launch
from safe.gates.run import GateRun
from safe.gates.signatures import write_signature
from safe.report.page import render


def sign(run: GateRun, *, name: str, comment: str = "") -> Path:
    """Sign the launch of a run as it stands, and render its page anew.

    Returns:
        The folder of the signed copy.

    Raises:
        GateClosed: the launch is NO-GO: there is nothing to sign off.
        EvidenceError: there is no name.
    """
    launch = check_launch(run)
    page = render(run).read_text(encoding="utf-8")
    folder = write_signature(run.folder, launch, page, name=name, comment=comment)
    render(run)
    return folder
