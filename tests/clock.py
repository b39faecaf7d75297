"""A fake clock, so that timing code is tested independently of machine load."""

from __future__ import annotations


class Clock:
    """Replacement for the module `time` in a module under test; only `sleep` advances it."""

    def __init__(self) -> None:
        """Start at zero."""
        self.now = 0.0

    def perf_counter(self) -> float:
        """Seconds slept so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        self.now += seconds
