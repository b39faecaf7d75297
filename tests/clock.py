"""A clock that only the test moves: what times calls is tested whatever the machine does."""

from __future__ import annotations


class Clock:
    """Stands for the module `time` in a module under test; sleeping is all that takes time."""

    def __init__(self) -> None:
        """At zero."""
        self.now = 0.0

    def perf_counter(self) -> float:
        """Seconds slept so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        self.now += seconds
