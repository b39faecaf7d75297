"""The runs that users start, up to the launch decision: `make accept`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from safe.hearing.miniature.base.evaluate import faults

from .conftest import BIN, Dag, assert_base_has_no_faults, assert_launched, with_recordings

pytestmark = pytest.mark.accept


def test_default_run_is_go(default_run: Dag) -> None:
    assert_base_has_no_faults(default_run)
    assert_launched(default_run)


def test_digits_run_is_go(digits_run: Dag) -> None:
    assert_base_has_no_faults(digits_run)
    assert_launched(digits_run)
    accuracy = next(
        c
        for c in digits_run.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert accuracy["ci"]["low"] > 0.9


@pytest.mark.parametrize(
    ("name", "config"), [("world", "config.yaml"), ("digits", "av_digits.yaml")]
)
def test_miniature_trained_from_scratch_meets_the_floors(
    tmp_path: Path, name: str, config: str
) -> None:
    dag = Dag.create(tmp_path / name)
    if name == "digits":
        with_recordings(dag)
    subprocess.run(
        [BIN / "safe", "train-miniature", "--config", f"config/{config}", "--out", "weights"],
        cwd=dag.folder,
        check=True,
    )
    card = json.loads((dag.folder / "weights" / name / "card.json").read_text())
    assert faults(card["evaluation"]) == []
