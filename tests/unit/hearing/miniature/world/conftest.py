"""Small worlds that take about a second to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safe.hearing.miniature.world import write_world

SIZE = {"seed": 3, "clips": 24, "images": 30, "videos": 20}
MakeWorld = Callable[..., Path]


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> MakeWorld:
    """A world with the given faults, written once a session."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*faults: str) -> Path:
        if faults not in made:
            made[faults] = tmp_path_factory.mktemp("world") / "world"
            write_world(made[faults], **SIZE, faults=faults)
        return made[faults]

    return make


@pytest.fixture(scope="session")
def world(make_world: MakeWorld) -> Path:
    """A world without faults."""
    return make_world()
