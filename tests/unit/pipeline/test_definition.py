"""The pipeline named by a run config validates the rest of the config."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from safe.errors import ConfigError
from safe.hearing.config import RunConfig
from safe.pipeline.definition import load_definition, load_run_config, parse_run_config
from safe.pipeline.workflow import open_run
from tests.paths import ROOT
from tests.unit.gates.builders import copy_criteria


def values() -> dict:
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def test_config_is_validated_by_its_pipeline() -> None:
    assert isinstance(load_run_config(ROOT / "config" / "config.yaml"), RunConfig)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pipeline": "deafness"}, "no such pipeline"),
        ({"pipeline": None}, "names no pipeline"),
        ({"scale": "minature"}, "did you mean `miniature`"),
        ({"retentoin": {}}, "did you mean `retention`"),
    ],
)
def test_unknown_pipeline_scale_or_section_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_run_config(values() | changes, "a.yaml")


def test_unknown_package_and_artifact_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no module safe\.deafness\.pipeline"):
        load_definition("safe.deafness")
    config = load_run_config(ROOT / "config" / "config.yaml")
    pipeline = load_definition("safe.hearing")
    assert pipeline.artifact(config, "features") == config.folder / "features.json"
    with pytest.raises(ConfigError, match="did you mean `features`"):
        pipeline.artifact(config, "feature")


def test_experiment_without_criteria_is_refused(tmp_path: Path) -> None:
    criteria = copy_criteria(tmp_path / "criteria")
    (criteria / "12_rl_gate.yaml").unlink()
    with pytest.raises(ConfigError, match="experiments without criteria: rl_gate"):
        open_run(values() | {"criteria": str(criteria)}, ROOT, "a.yaml")


def test_two_experiments_with_one_number_are_refused(tmp_path: Path) -> None:
    criteria = copy_criteria(tmp_path / "criteria")
    text = (criteria / "12_rl_gate.yaml").read_text()
    (criteria / "11_rl_gate.yaml").write_text(
        text.replace("12_rl_gate", "11_rl_gate").replace("id: 12.", "id: 11.")
    )
    with pytest.raises(ConfigError, match="11"):
        open_run(values() | {"criteria": str(criteria)}, ROOT, "a.yaml")


def test_run_name_that_snakemake_reads_as_a_number_is_taken_as_typed() -> None:
    command = ["snakemake", "--config", "run=2024_01", "seed=1"]
    run = open_run(values() | {"run": 202401}, ROOT, "a.yaml", command)
    assert run.config.run == "2024_01"
    assert open_run(values() | {"run": "a"}, ROOT, "a.yaml", command).config.run == "a"
    with pytest.raises(ConfigError) as caught:
        open_run(values() | {"run": 202401}, ROOT, "a.yaml")
    assert caught.value.key == "run"
    assert "'2024_01'" in caught.value.hint
