"""Settings of experiment 02."""

from __future__ import annotations

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class ParitySettings(Settings):
    """Experiment 02."""

    section = "parity"

    samples: Positive = 1000
    """VL questions compared."""

    batch_size: Positive = 50
    """Questions of a batch."""

    max_new_tokens: Positive = 8
    """Tokens generated for each."""

    timing_repeats: Positive = 20
    """Times that each path is timed, in turn."""
