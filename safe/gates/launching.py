"""The launch gate: a token when every required experiment is GO, or the reasons why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from safe.digest import digest_json
from safe.files import write_json
from safe.gates.run import GateRun
from safe.gates.status import LAUNCH, write_launch
from safe.gates.token import GateClosed


def evidence_of(launch: Mapping[str, Any]) -> str:
    """Digest of what a launch verdict rests on: scale, and each experiment's evidence and decision.

    Args:
        launch: what launch.json holds.
    """
    rows = launch["experiments"]
    rests_on = {n: [rows[n][k] for k in ("status", "decision", "evidence")] for n in sorted(rows)}
    return digest_json([launch["run"], launch["scale"], launch["verdict"], rests_on])


def check_launch(run: GateRun, today: date | None = None) -> dict[str, Any]:
    """Write launch.json and the token LAUNCH, or remove the token and refuse.

    Every measurement is judged once more for it, so that no decision is taken at its word. The
    token holds digests only: an unchanged run leaves an unchanged file.

    Returns:
        What launch.json holds.

    Raises:
        GateClosed: NO-GO, a line for each reason.
    """
    token = run.folder / LAUNCH
    token.unlink(missing_ok=True)
    launch = write_launch(run, today)
    if launch["verdict"] != "GO":
        reasons = "".join(f"\n  {reason}" for reason in launch["reasons"] or ["nothing is judged"])
        raise GateClosed(f"launch NO-GO: {run.folder.name}{reasons}")
    write_json(token, {"run": launch["run"], "verdict": "GO", "evidence": evidence_of(launch)})
    return launch
