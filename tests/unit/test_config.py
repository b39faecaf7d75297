"""Settings: shipped configs are valid, and faults are named with key and hint."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from safe.errors import ConfigError
from safe.hearing.config import load_run_config, parse_run_config
from tests.paths import ROOT

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
RUNS = [path for path in CONFIGS if path.name not in ("waivers.yaml", "references.yaml")]


def _default() -> dict[str, Any]:
    text = (ROOT / "config" / "config.yaml").read_text()
    values: dict[str, Any] = yaml.safe_load(text)
    return values


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_shipped_configs_are_valid_and_survive_a_round_trip(path: Path) -> None:
    config = load_run_config(path)
    assert type(config).model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tiny_overfitt": {}}, ["tiny_overfitt", "did you mean `tiny_overfit`"]),
        ({"adapter": {"lora": {"rnk": 4}}}, ["adapter.lora.rnk", "did you mean `rank`"]),
        ({"stage_a": {"renew_every": 5}}, ["now called `null_space_update_interval`"]),
        ({"base": {"ear": "x"}}, ["base.ear", "now called `audio_encoder`"]),
        ({"policy": {"prices": [1]}}, ["now called `latency_weights`"]),
        ({"pilot": {"margin": 0.5}}, ["now set in", "smallest_config", "04_stage_a_pilot.yaml"]),
        ({"pilot": {"vl_items": 5}}, ["now set in", "held_out.vl_items"]),
        ({"tracking": {"trackers": ["wandbb"]}}, ["tracking.trackers", "did you mean `wandb`"]),
        ({"preflight": {"near_text_similarity": 1.0}}, ["preflight.near_text_similarity"]),
        ({"seed": "many"}, ["seed", "integer", "'many'"]),
        ({"run": "my first run"}, ["run", "'my first run'"]),
        ({"run": "../../x"}, ["run"]),
        ({"scale": "huge"}, ["scale", "miniature"]),
        ({"base": {}}, ["base", "miniature"]),
        ({"datasets": []}, ["datasets"]),
        ({"tiny_overfit": {"audio_fraction": 1.5}}, ["tiny_overfit.audio_fraction", "1.5"]),
    ],
)
def test_fault_names_its_key(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_run_config(_default() | change, "config/mine.yaml")
    for word in ["config/mine.yaml", "hint:", *words]:
        assert word in str(caught.value)


def test_two_datasets_may_not_share_a_name() -> None:
    values = _default()
    values["datasets"].append(values["datasets"][0])
    with pytest.raises(ConfigError, match="share a name"):
        parse_run_config(values, "x")


def test_dataset_paths_follow_the_world_root() -> None:
    values = _default()
    values["world"]["root"] = "data/other"
    found = parse_run_config(values, "x")
    assert {d.root.parent for d in found.datasets} == {Path("data/other")}
    assert found.datasets[-1].options["events"] == "data/other/ave/Annotations.txt"
    assert parse_run_config(found.model_dump(mode="json"), "x") == found


def test_world_that_no_dataset_reads_is_refused() -> None:
    values = _default()
    for dataset in values["datasets"]:
        dataset["root"] = dataset["root"].replace("{world}", "data/world")
    assert parse_run_config(values, "x").world is not None
    values["world"]["root"] = "data/leaky"
    with pytest.raises(ConfigError, match=r"no dataset lies below world.root \(data/leaky\)"):
        parse_run_config(values, "x")


def test_dataset_in_the_world_of_a_run_without_one_is_refused() -> None:
    values = _default()
    del values["world"]
    with pytest.raises(
        ConfigError, match=r"world_captions, .* lie in the world, and there is none"
    ):
        parse_run_config(values, "x")
    values["datasets"] = [
        {**values["datasets"][0], "root": "data", "options": {"events": "{world}"}}
    ]
    with pytest.raises(ConfigError, match="paths of world_captions lie in the world"):
        parse_run_config(values, "x")


def test_missing_world_root_is_reported_with_all_other_faults() -> None:
    values = _default() | {"sede": 3}
    del values["world"]["root"]
    with pytest.raises(ConfigError, match=r"world\.root") as caught:
        parse_run_config(values, "x")
    assert "sede" in str(caught.value)
    assert "lie in the world" not in str(caught.value)


def test_split_by_question_needs_its_reason() -> None:
    values = _default()
    values["datasets"][0]["split_unit"] = "question"
    with pytest.raises(ConfigError, match="split_unit_reason"):
        parse_run_config(values, "x")


def test_missing_file_and_broken_yaml_name_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_run_config(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("run: a\nseed: [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml:3"):
        load_run_config(broken)
    broken.write_text("- a list\n")
    with pytest.raises(ConfigError, match="mapping"):
        load_run_config(broken)


def test_yaml_tags_create_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text("run: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not YAML"):
        load_run_config(path)
