"""The plan's launch checklist: the six items that must hold before the full model is trained."""

from __future__ import annotations

LAUNCH = "LAUNCH"  # the token, beside launch.json

LAUNCH_ITEMS: dict[str, tuple[str, str]] = {
    "base_parity": ("Base-parity holds", "Gate OFF path ≡ base model performance"),
    "pilot_gains": ("Pilot shows gains", "Clear audio improvements with no VL regression"),
    "efficiency": ("Efficiency validated", "Hardware requirements and SLOs achievable"),
    "curriculum": ("Curriculum verified", "Stage transitions and checkpoints working"),
    "metrics": ("Metrics validated", "LOMO and irrelevance tests behave as expected"),
    "reproducible": ("Reproducible", "Low seed variance with locked configurations"),
}
