"""Commands that measure look first whether the run's own world lies there."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from safe.cli import app
from safe.config import WorldConfig
from safe.data.world import write_world
from safe.errors import DataError
from safe.files import write_json
from tests.data.world.conftest import SIZE
from tests.tiny_data import dataset, run_config


@pytest.mark.parametrize(
    "command",
    [
        ["measure", "01_data_preflight"],
        ["part", "04_stage_a_pilot", "distilled"],
        ["prepare-base"],
        ["prepare-features"],
    ],
    ids=lambda command: command[0],
)
def test_nothing_is_measured_on_the_world_of_another_run(tmp_path: Path, command) -> None:
    root = tmp_path / "world"
    write_world(root, **SIZE | {"seed": 4})
    captions = dataset("audiocaps", root / "audiocaps")
    config = run_config(tmp_path, [captions], world=WorldConfig(root=root, **SIZE))
    write_json(config.folder / "config.json", config.model_dump(mode="json"))
    done = CliRunner().invoke(app, [*command, "--config", str(config.folder / "config.json")])
    assert isinstance(done.exception, DataError)
    assert "not the world that the run was made from" in str(done.exception)
    assert list(config.folder.iterdir()) == [config.folder / "config.json"]
