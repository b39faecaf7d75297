"""The world's base and the digits' base trained for real: minutes, so marked `dag`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safe.config import RunConfig, load_run_config
from safe.data.prepare import prepare_data
from safe.training.base.evaluate import MIN_VL_ACCURACY, MIN_ZERO_SHOT
from safe.training.prepare_base import prepare_base

REPOSITORY = Path(__file__).resolve().parents[2]
FSDD = REPOSITORY.parent / "shared" / "data" / "fsdd"
pytestmark = pytest.mark.dag


def measured(config: RunConfig) -> dict:
    prepare_data(config)
    prepare_base(config)
    return json.loads((config.folder / "base.json").read_text())["held_out"]


def check(held_out: dict) -> None:
    assert held_out["vl"]
    assert held_out["audio"]
    for kind, row in held_out["vl"].items():
        assert row["accuracy"] >= MIN_VL_ACCURACY, kind
    for kind, row in held_out["audio"].items():
        assert row["ci"][0] <= row["prior"] + 0.05, kind
    assert held_out["clap_zero_shot"]["accuracy"] >= MIN_ZERO_SHOT


def moved(name: str, folder: Path) -> RunConfig:
    """The shipped config with everything it writes below `folder`."""
    config = load_run_config(REPOSITORY / "config" / name)
    return config.model_copy(update={"results": folder / "results", "cache": folder / "cache"})


def test_the_worlds_base_sees_and_has_not_heard(tmp_path):
    config = moved("config.yaml", tmp_path)
    assert config.world is not None
    world = tmp_path / "world"
    datasets = []
    for dataset in config.datasets:
        old = str(config.world.root)
        text = dataset.model_dump_json().replace(old, str(world))
        datasets.append(type(dataset).model_validate_json(text))
    update = {"root": world, "clips": 200, "images": 900, "videos": 600}
    config = config.model_copy(
        update={"world": config.world.model_copy(update=update), "datasets": datasets}
    )
    check(measured(config))


@pytest.mark.skipif(not FSDD.is_dir(), reason="needs shared/data/fsdd")
def test_the_digits_base_reads_and_has_not_heard(tmp_path):
    config = moved("av_digits.yaml", tmp_path)
    options = {**config.datasets[0].options, "images_dir": str(tmp_path / "images")}
    dataset = config.datasets[0].model_copy(update={"root": FSDD, "options": options})
    check(measured(config.model_copy(update={"datasets": [dataset]})))
