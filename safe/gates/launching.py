"""The launch gate: writes a token if every required experiment is GO."""

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
    """Digest of what is signed: run, scale, verdict, and each experiment's status and digests.

    Deviations from the shipped criteria and settings, and earlier results, are included, if there
    are any.

    Args:
        launch: content of launch.json.
    """
    rows = launch["experiments"]
    inputs = {n: [rows[n][k] for k in ("status", "decision", "evidence")] for n in sorted(rows)}
    parts = [launch["run"], launch["scale"], launch["verdict"], inputs]
    settings = launch.get("settings") or {}
    listed = [launch.get("deviations"), launch.get("earlier"), settings.get("differences")]
    return digest_json([*parts, *(lines for lines in listed if lines)])


def check_launch(run: GateRun, today: date | None = None) -> dict[str, Any]:
    """Write launch.json and the token LAUNCH; remove the token on a NO-GO.

    Every measurement is judged again instead of trusting its decision. The token holds only
    digests, so it does not change if the run does not.

    Returns:
        The content of launch.json.

    Raises:
        GateClosed: NO-GO, with one line per reason.
    """
    token = run.folder / LAUNCH
    token.unlink(missing_ok=True)
    launch = write_launch(run, today)
    if launch["verdict"] != "GO":
        reasons = "".join(f"\n  {reason}" for reason in launch["reasons"] or ["no criteria files"])
        raise GateClosed(f"launch NO-GO: {run.folder.name}{reasons}")
    write_json(token, {"run": launch["run"], "verdict": "GO", "evidence": evidence_of(launch)})
    return launch
