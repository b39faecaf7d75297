"""The gate: writes the GO token of a decision, or states the reason in one line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from safe.errors import SafeError
from safe.files import write_json
from safe.gates.documents import read_decision, read_measurement
from safe.gates.formatting import statement
from safe.gates.judge import failing
from safe.gates.records import judge_again
from safe.gates.run import GateRun
from safe.gates.schema import Decision, evidence_digest

SHOWN = 3  # number of criteria named in the reason


class GateClosed(Exception):
    """NO-GO. The text names criterion, value and bound."""


def blocking_reason(decision: Decision, today: date | None = None) -> str | None:
    """Return the reason why a decision does not open its gate, or None."""
    open_criteria = failing(decision)
    if decision.verdict != "GO" or open_criteria:
        named = [
            statement(j) + ("" if j.verdict == "fail" else f" ({j.verdict})")
            for j in open_criteria[:SHOWN]
        ]
        more = len(open_criteria) - len(named)
        return "; ".join(named or ["no criterion is required"]) + (f"; {more} more" if more else "")
    for judged in decision.criteria:
        if judged.verdict == "waived":
            expires = (judged.waiver or {}).get("expires", "0001-01-01")
            if date.fromisoformat(expires) < (today or date.today()):
                return f"the waiver of {judged.id} expired on {expires}; judge again"
    for name, parent in sorted(decision.upstream.items()):
        if parent.verdict != "GO":
            return f"it was measured while {name} was NO-GO; measure again after its GO"
    return None


def _evidence_changed(decision_path: Path, decision: Decision) -> str | None:
    measurement = decision_path.with_name("measurement.json")
    if not measurement.is_file():
        return "its measurement is missing; measure again"
    if evidence_digest(read_measurement(measurement)) != decision.digests["evidence"]:
        return "it was measured again since it was judged; judge again"
    return None


def check_gate(run: GateRun, experiment: str, today: date | None = None) -> None:
    """Write the GO token next to a decision; remove the token on a NO-GO.

    The measurement is judged again instead of trusting the decision. The token holds only digests,
    so it does not change if the decision does not.

    Raises:
        GateClosed: NO-GO, with a one-line reason.
        EvidenceError: the decision is missing, broken or was edited after judging.
        ConfigError: criteria or waivers cannot be used.
    """
    folder = run.folder / experiment
    token, path = folder / "GO", folder / "decision.json"
    try:
        decision = read_decision(path)
        reason = (
            blocking_reason(decision, today)
            or _evidence_changed(path, decision)
            or judge_again(run, decision, today)
        )
    except SafeError:
        token.unlink(missing_ok=True)
        raise
    if reason is not None:
        token.unlink(missing_ok=True)
        raise GateClosed(f"NO-GO {decision.experiment}: {reason}")
    write_json(
        token,
        {
            "experiment": decision.experiment,
            "run": decision.run,
            "verdict": "GO",
            "decision": decision.digests["decision"],
            "evidence": decision.digests["evidence"],
        },
    )
