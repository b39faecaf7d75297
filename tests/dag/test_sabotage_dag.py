"""Faults planted in the code: the gate for each refuses, and nothing downstream runs.

Every Python process of the run imports `sitecustomize`, so the fault needs no switch in the
product.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .conftest import Dag

pytestmark = pytest.mark.dag

WHEN_MEASURING = "import sys\nif 'measure' in sys.orig_argv:\n"

ADAPTER_STAYS_ON = """
    from safe.hearing.models.safe_model import SafeModel
    plain = SafeModel._run_base
    def leaky(self, batch, kwargs):
        out = plain(self, batch, kwargs)
        out.logits = out.logits + 1e-4
        return out
    SafeModel._run_base = leaky
"""
BACKBONE_UNFROZEN = """
    from safe.hearing.models.safe_model import SafeModel
    made = SafeModel.__init__
    def thawed(self, *args, **kwargs):
        made(self, *args, **kwargs)
        next(self.base.vision_model.parameters()).requires_grad_(True)
    SafeModel.__init__ = thawed
"""
DEAF = """
    from safe.hearing.models.safe_model import SafeModel
    heard = SafeModel.hear
    def deaf(self, audio, rows):
        return heard(self, audio, rows) * 0
    SafeModel.hear = deaf
"""


def _refused(dag: Dag, experiment: str, criteria: set[str], sabotage: str | None) -> None:
    target = dag.target("03_tiny_overfit", "GO")
    for name in ("02_base_parity", "03_tiny_overfit"):
        if name >= experiment:
            dag.forget(name)
    refused = dag.run(target, sabotage=sabotage)
    assert refused.returncode != 0
    verdicts = dag.verdicts(experiment)
    assert criteria <= {c for c, verdict in verdicts.items() if verdict == "fail"}, verdicts
    line = re.search(rf"NO-GO {experiment}: (.*)", refused.stdout)
    assert line, refused.stdout[-3000:]
    assert any(criterion in line[1] for criterion in criteria), line[1]
    assert dag.statuses()[experiment] == "no-go"
    assert dag.path(experiment, "measurement.json").is_file()
    assert dag.path("launch_checklist.html").is_file()
    assert not dag.path("03_tiny_overfit", "GO").exists()


@pytest.mark.parametrize(
    ("sabotage", "criteria"),
    [
        pytest.param(ADAPTER_STAYS_ON, {"02.logits_equal"}, id="adapter-active-when-off"),
        pytest.param(
            BACKBONE_UNFROZEN, {"02.backbone_frozen", "02.trainable_set"}, id="backbone-unfrozen"
        ),
    ],
)
def test_broken_parity_stops_at_02(
    finished: Dag, tmp_path: Path, sabotage: str, criteria: set[str]
) -> None:
    dag = finished.clone(tmp_path / "parity")
    _refused(dag, "02_base_parity", criteria, WHEN_MEASURING + sabotage)
    assert not dag.path("03_tiny_overfit", "measurement.json").exists()
    assert dag.statuses()["03_tiny_overfit"] == "blocked"


def test_model_that_ignores_audio_stops_at_03(finished: Dag, tmp_path: Path) -> None:
    dag = finished.clone(tmp_path / "deaf")
    require(dag, "03_tiny_overfit", "03.audio_needed")
    _refused(dag, "03_tiny_overfit", {"03.audio_needed"}, WHEN_MEASURING + DEAF)


def require(dag: Dag, experiment: str, criterion: str) -> None:
    """Undo the smoke run's relaxation of one criterion."""
    path = dag.folder / "config" / "hearing" / "criteria" / f"{experiment}.yaml"
    values = yaml.safe_load(path.read_text())
    next(c for c in values["criteria"] if c["id"] == criterion)["severity"] = "required"
    path.write_text(yaml.safe_dump(values))
