"""The tiny gating run, made ready for experiment 12."""

from __future__ import annotations

from pathlib import Path

from safe.config import RunConfig, parse_run_config
from tests.tiny_gating import make_gating_run

EXPERIMENT = "12_rl_gate"
POLICY = {
    "short": 1,
    "steps": 60,
    "margin": 0.3,
    "audio_items": 200,
    "prices": [0.0, 10.0, 40.0, 2000.0],
    "decisions": 24_000,
    "max_audio_drop": 0.05,
    "timed_items": 4,
    "timing_repeats": 2,
}


def make_policy_run(root: Path) -> RunConfig:
    """Nothing of 12 is trained yet."""
    return changed(make_gating_run(root), **POLICY)


def changed(config: RunConfig, **policy: object) -> RunConfig:
    """The same run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["policy"] |= policy
    return parse_run_config(values, "tests/tiny_policy.py")
