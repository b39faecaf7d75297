"""Commands on a run's config: the check of its world, and its power."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safe.cli import app
from safe.errors import ConfigError, DataError
from safe.files import write_json
from safe.hearing.config import WorldConfig, load_run_config
from safe.hearing.miniature.world import write_world
from tests.paths import ROOT
from tests.tiny_data import dataset, run_config
from tests.unit.gates.builders import UNDERPOWERED, assume_seed_sd
from tests.unit.hearing.miniature.world.conftest import SIZE


@pytest.mark.parametrize(
    "command",
    [
        ["measure", "01_data_preflight"],
        ["run-job", "04_stage_a_pilot", "distilled"],
        ["prepare-base"],
        ["prepare-features"],
    ],
    ids=lambda command: command[0],
)
def test_commands_refuse_the_world_of_another_run(tmp_path: Path, command) -> None:
    root = tmp_path / "world"
    write_world(root, **SIZE | {"seed": 4})
    captions = dataset("audiocaps", root / "audiocaps")
    config = run_config(tmp_path, [captions], world=WorldConfig(root=root, **SIZE))
    write_json(config.folder / "config.json", config.model_dump(mode="json"))
    done = CliRunner().invoke(app, [*command, "--config", str(config.folder / "config.json")])
    assert isinstance(done.exception, DataError)
    assert "not the world that the run was made from" in str(done.exception)
    assert list(config.folder.iterdir()) == [config.folder / "config.json"]


def power(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["power", *map(str, arguments)])


def config_of(tmp_path: Path, **changes: object) -> Path:
    """The default config with results in a folder of the test."""
    config = load_run_config(ROOT / "config" / "config.yaml")
    values = config.model_dump(mode="json") | {"results": str(tmp_path / "results")}
    path = tmp_path / "config.json"
    write_json(path, values | {"criteria": str(ROOT / "config" / "hearing" / "criteria")} | changes)
    return path


def test_power_names_criteria_decided_by_luck_and_exits_with_1(tmp_path: Path) -> None:
    criteria = assume_seed_sd(tmp_path / "criteria", **UNDERPOWERED)
    done = power(config_of(tmp_path, criteria=str(criteria)))
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0].startswith("no earlier run in ")
    by_luck = [line.split()[2] for line in lines if line.startswith("by luck")]
    assert by_luck == ["11.audio_sd"]
    assert lines[-1].startswith("power: ")


def test_power_of_the_default_config_exits_with_0(tmp_path: Path) -> None:
    done = power(config_of(tmp_path))
    assert done.exit_code == 0, done.output


def test_power_as_json(tmp_path: Path) -> None:
    criteria = assume_seed_sd(tmp_path / "criteria", **UNDERPOWERED)
    found = json.loads(power(config_of(tmp_path, criteria=str(criteria)), "--json").output)
    row = next(r for r in found["criteria"] if r["id"] == "11.audio_sd")
    assert row["verdict"] == "by luck"
    assert row["items_needed"] == "none"
    assert (row["required"], found["decided"], found["measured"]) == (True, False, [])


def test_power_exits_with_0_when_no_criterion_is_known_to_fail(tmp_path: Path) -> None:
    assert power(config_of(tmp_path, scale="full")).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"scale": "tiny"}, (), "scale"),
        ({"criteria": "nowhere"}, (), "no such pipeline"),
        ({}, ("--run", "nowhere"), "no such run"),
    ],
)
def test_power_of_an_unreadable_config_is_an_error(
    tmp_path: Path, changes: dict[str, str], arguments: tuple[str, ...], message: str
) -> None:
    done = power(config_of(tmp_path, **changes), *arguments)
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
