"""The waivers file: YAML dates, and no waivers of unknown experiments or criteria."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from safe.errors import ConfigError
from safe.gates.criteria import load_all
from safe.gates.run import judge_experiment, open_gate_run
from safe.gates.waivers import check_waivers, invalid_reason, load_waivers, relevant, waivers_digest
from tests.unit.gates.builders import CRITERIA, ROOT

ENTRY = """\
- run: trial
  experiment: 03_tiny_overfit
  criterion: 03.loss
  author: Ada Lovelace
  reason: Accepted for this trial, with eyes open.
  expires: 2027-01-31
  evidence: {digest}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "waivers.yaml"
    path.write_text(text.replace("{digest}", "a" * 64), encoding="utf-8")
    return path


def test_shipped_file_is_empty_and_its_example_is_valid(tmp_path: Path) -> None:
    shipped = ROOT / "config" / "waivers.yaml"
    assert load_waivers(shipped) == []
    lines = shipped.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# - run:"))
    example = "\n".join(line[2:] for line in lines[start:] if line.startswith("# "))
    check_waivers(load_waivers(written(tmp_path, example)), load_all(CRITERIA), shipped)


def test_waiver_is_read_and_valid_until_its_date(tmp_path: Path) -> None:
    [waiver] = load_waivers(written(tmp_path, ENTRY))
    assert waiver.expires == "2027-01-31"
    assert invalid_reason(waiver, "a" * 64, date(2027, 1, 31)) is None
    assert "expired" in str(invalid_reason(waiver, "a" * 64, date(2027, 2, 1)))
    assert "evidence" in str(invalid_reason(waiver, "b" * 64, date(2027, 1, 1)))
    assert load_waivers(written(tmp_path, "# nothing\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("author: Ada Lovelace", "author: ''", "author"),
        ("reason: Accepted for this trial, with eyes open.", "reason: ok", "reason"),
        ("expires: 2027-01-31", "expires: soon", "YYYY-MM-DD"),
        ("evidence: {digest}", "evidence: abc", "evidence"),
        ("criterion:", "criterium:", "did you mean `criterion`?"),
        ("- run: trial", "- trial", "YAML"),
    ],
)
def test_fault_names_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ENTRY
    with pytest.raises(ConfigError, match=r"waivers\.yaml:") as caught:
        load_waivers(written(tmp_path, ENTRY.replace(old, new)))
    assert message in str(caught.value)


def test_mapping_instead_of_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a list"):
        load_waivers(written(tmp_path, "run: x\n"))


@pytest.mark.parametrize(
    ("old", "new"), [("03.loss", "03.los"), ("03_tiny_overfit", "03_tiny_overfits")]
)
def test_waiver_of_an_unknown_criterion_or_experiment_is_refused(
    run: Path, tmp_path: Path, old: str, new: str
) -> None:
    path = written(tmp_path, ENTRY.replace(old, new))
    with pytest.raises(ConfigError, match=f"did you mean `{old}`"):
        check_waivers(load_waivers(path), load_all(CRITERIA), path)
    with pytest.raises(ConfigError, match=new):
        judge_experiment(open_gate_run(run, waivers=path), "03_tiny_overfit")


def test_waivers_of_other_runs_do_not_change_the_digest(tmp_path: Path) -> None:
    mine = load_waivers(written(tmp_path, ENTRY))
    both = load_waivers(written(tmp_path, ENTRY + ENTRY.replace("run: trial", "run: other")))
    chosen = relevant(both, "trial", "03_tiny_overfit")
    assert waivers_digest(chosen) == waivers_digest(mine)
