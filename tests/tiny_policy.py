"""The tiny gating run with settings for experiment 12."""

from __future__ import annotations

from pathlib import Path

from safe.files import write_json
from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.experiments.rl_gate.evaluator import HEURISTIC, timing_key
from safe.hearing.experiments.rl_gate.plan import OUTCOMES, lengths
from safe.hearing.models.policy import GLANCE, LOOK, QUESTION
from safe.pipeline.job_results import RESULT, read_result
from tests.judging import with_limits
from tests.tiny_gating import make_gating_run

EXPERIMENT = "12_rl_gate"
POLICY = {
    "short_audio_tokens": 1,
    "steps": 60,
    "audio_items": 200,
    "latency_weights": [0.0, 10.0, 40.0, 2000.0],
    "decisions": 24_000,
    "timed_items": 4,
    "timing_repeats": 2,
}
# Seconds of each kind of gate, relative to a gate on the base's uncertainty.
GATE_SECONDS = {HEURISTIC: 0.0, QUESTION: -0.002, LOOK: 0.0002, GLANCE: 0.0005}


def make_policy_run(root: Path) -> RunConfig:
    """Return a run in which nothing of 12 is trained yet."""
    config = changed(make_gating_run(root), **POLICY)
    return with_limits(config, policy={"audio_drop_high": 0.05}, adapter={"behind_high": 0.3})


def set_fixed_seconds(config: RunConfig) -> None:
    """Replace the measured times, so that audio takes 5 ms independently of machine load.

    Raises:
        AssertionError: other actions were timed, or one took no time.
    """
    short, long = lengths(config)
    audio_seconds = {0: 0.0, short: 0.005, long: 0.0055}
    seconds = {
        timing_key(kind, k): 0.009 + gate_seconds + audio_seconds[k]
        for kind, gate_seconds in GATE_SECONDS.items()
        for k in ((0, long) if kind == HEURISTIC else (0, short, long))
    } | {"always off": 0.007, "always on": 0.0125}
    folder = config.folder / EXPERIMENT / "jobs" / OUTCOMES
    result = read_result(folder)
    measured = result["seconds"]
    assert set(measured) == set(seconds)
    assert min(measured.values()) > 0
    write_json(folder / RESULT, result | {"seconds": seconds})


def changed(config: RunConfig, **policy: object) -> RunConfig:
    """Return the run with other settings of the experiment."""
    values = config.model_dump(mode="json")
    values["policy"] |= policy
    return parse_run_config(values, "tests/tiny_policy.py")
