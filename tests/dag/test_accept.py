"""The runs that users start, to the launch decision: `make accept`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from safe.hearing.miniature.base.evaluate import faults

from .conftest import BIN, Dag, assert_it_is_a_base, assert_it_went_to_launch, with_recordings

pytestmark = pytest.mark.accept


def test_default_run_is_go(default_run: Dag) -> None:
    assert_it_is_a_base(default_run)
    assert_it_went_to_launch(default_run)


def test_digits_run_is_go(digits_run: Dag) -> None:
    assert_it_is_a_base(digits_run)
    assert_it_went_to_launch(digits_run)
    heard = next(
        c
        for c in digits_run.json("03_tiny_overfit", "decision.json")["criteria"]
        if c["id"] == "03.audio_accuracy"
    )
    assert heard["ci"]["low"] > 0.9


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
