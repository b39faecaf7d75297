"""A run whose three experiments are GO, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.gates.builders import make_run


@pytest.fixture(scope="session")
def _go_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("results") / "trial")


@pytest.fixture
def run(_go_run: Path, tmp_path: Path) -> Path:
    """results/RUN that a test may modify: 01, 02 and 03 measured, judged and GO."""
    return Path(shutil.copytree(_go_run, tmp_path / "results" / "trial"))
