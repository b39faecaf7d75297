"""A world with a planted fault stops at 01, and nothing is trained on it.

tests/sabotage/test_preflight.py tests which fault fails which criterion.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Dag

pytestmark = pytest.mark.dag


@pytest.mark.parametrize(
    ("fault", "criterion"),
    [
        ("leak", "01.no_leakage"),
        ("undecodable", "01.files_load"),
        ("swapped", "01.mismatch"),
    ],
)
def test_faulty_world_stops_at_01(tmp_path: Path, fault: str, criterion: str) -> None:
    # `swapped` needs enough sounds of each kind to estimate the typical sound of the kind.
    sizes = "root: data/faulty, clips: 600, images: 300, videos: 300"
    world = f"{{{sizes}, faults: [{fault}]}}"
    dag = Dag.create(
        tmp_path / "faulty", run_name="faulty", overrides=["run=faulty", f"world={world}"]
    )
    refused = dag.run(dag.target("03_tiny_overfit", "GO"))
    assert refused.returncode != 0
    assert dag.verdicts("01_data_preflight")[criterion] == "fail", refused.stdout[-3000:]
    assert re.search(rf"NO-GO 01_data_preflight: .*{re.escape(criterion)} = ", refused.stdout)
    assert not dag.path("base.json").exists()
    assert not dag.path("03_tiny_overfit").exists()
    assert dag.statuses()["01_data_preflight"] == "no-go"
    assert dag.statuses()["02_base_parity"] == "blocked"
    assert dag.path("launch_checklist.html").is_file()
