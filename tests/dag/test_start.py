"""Checks before anything runs: the dry run shows the whole DAG, and bad settings stop it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Dag


def _jobs(output: str) -> list[str]:
    return re.findall(r"^(?:local)?rule (\w+):", output, flags=re.MULTILINE)


def test_dry_run_shows_the_whole_dag(tmp_path: Path) -> None:
    dag = Dag.create(tmp_path / "dry")
    shown = dag.run("--dry-run")
    assert shown.returncode == 0
    assert {"prepare_data", "prepare_base", "measure_01", "measure_03", "gate"} <= set(
        _jobs(shown.stdout)
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seeed=3", ["seeed", "did you mean `seed`"]),
        ("run=my run", ["run", "my run"]),
        ("threads=many", ["threads", "integer"]),
    ],
)
def test_bad_settings_stop_before_anything_runs(
    tmp_path: Path, override: str, words: list[str]
) -> None:
    dag = Dag.create(tmp_path / "bad", overrides=[override])
    refused = dag.run()
    assert refused.returncode != 0
    assert all(word in refused.stdout for word in words), refused.stdout
    assert not (dag.folder / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("metric: loss\n", "metric: los\n", ["03.loss", "los", "did you mean"]),
        ("threshold: 0.05", "threshold: -1", ["03.loss", "-1"]),
        ("rationale:", "rationalle:", ["rationalle", "rationale"]),
    ],
)
def test_bad_criteria_stop_before_anything_runs(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    dag = Dag.create(tmp_path / "bad")
    criteria = dag.folder / "config" / "hearing" / "criteria" / "03_tiny_overfit.yaml"
    text = criteria.read_text()
    assert old in text
    criteria.write_text(text.replace(old, new, 1))
    refused = dag.run()
    assert refused.returncode != 0
    assert all(word in refused.stdout for word in ["03_tiny_overfit.yaml", *words]), refused.stdout
