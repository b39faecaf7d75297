"""The parts of experiment 08, the dearest first."""

from __future__ import annotations

from safe.hearing.config import RunConfig
from safe.pipeline.experiment import Group, pack

PARTS = ("resumed", "normal", "extension")


def groups(config: RunConfig) -> list[Group]:
    """Two parts share a process."""
    return pack(PARTS, 2)
