"""Nothing is measured or trained behind a closed gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from safe.errors import EvidenceError
from safe.gates.schema import Metric
from safe.pipeline.runner import check_upstream
from tests.unit.gates.builders import make_run

BAD_LOSS = Metric(name="loss", value=0.21, unit="nats", n=512, provenance="measured")


def test_upstream_go_is_accepted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    found = check_upstream(run, ["01_data_preflight", "03_tiny_overfit"])
    assert {parent.verdict for parent in found.values()} == {"GO"}


def test_upstream_no_go_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", replace={"03.loss": BAD_LOSS})
    with pytest.raises(EvidenceError, match="03_tiny_overfit is NO-GO"):
        check_upstream(run, ["01_data_preflight", "03_tiny_overfit"])


def test_missing_upstream_decision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        check_upstream(make_run(tmp_path / "r"), ["04_stage_a_pilot"])
