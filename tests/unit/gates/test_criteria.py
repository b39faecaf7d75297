"""Criteria files: content, and how faults are reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from safe.errors import ConfigError
from safe.gates import criteria_check
from safe.gates.criteria import criteria_digest, load_all, load_criteria, load_each
from safe.gates.criteria_check import check_criteria, reachable, read_metrics
from safe.gates.pipeline import load_pipeline
from tests.unit.gates.builders import CRITERIA, ROOT, copy_criteria

HEARING = load_all(CRITERIA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of config/criteria that a test may edit."""
    return copy_criteria(tmp_path / "criteria")


def edit(folder: Path, old: str, new: str, name: str = "03_tiny_overfit") -> Path:
    path = folder / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_criteria(path.parent)
    assert caught.value.hint
    text = str(caught.value)
    assert path.name in text
    return text


# Criteria of the hearing pipeline ----------------------------------------------------------------


def test_every_experiment_has_a_criteria_file() -> None:
    assert [c.experiment[:2] for c in HEARING] == [f"{n:02d}" for n in range(1, 13)]
    assert [c.experiment for c in HEARING if c.optional] == ["12_rl_gate"]


def test_every_criterion_of_the_design_document_exists() -> None:
    table = ROOT.parent / "shared" / "design" / "criteria.md"
    if not table.is_file():
        pytest.skip("the plan's table is not beside this clone")
    designed = set(re.findall(r"\b(\d\d\.[a-z_]+)", table.read_text(encoding="utf-8")))
    assert designed <= {c.id for f in HEARING for c in f.criteria}


def test_needs_are_those_of_the_plan() -> None:
    """Except for 07, which needs the gate that 05 selected."""
    needs = {f.experiment[:2]: sorted(n[:2] for n in f.needs) for f in HEARING}
    assert needs == {
        "01": [], "02": ["01"], "03": ["02"], "04": ["03"], "05": ["04"], "06": ["04"],
        "07": ["05"], "08": ["05", "06", "07"], "09": ["08"], "10": ["08"], "11": ["09", "10"],
        "12": ["11"],
    }  # fmt: skip


def test_every_launch_item_is_supported_by_a_required_experiment() -> None:
    supported = {item for f in HEARING if not f.optional for item in f.launch_items}
    assert supported == set(load_pipeline(CRITERIA).launch_items)


def test_full_size_criteria_are_never_scaled() -> None:
    by_id = {c.id: c for f in HEARING for c in f.criteria}
    assert by_id["02.trainable_count_full"].threshold == (10_000_000, 50_000_000)
    assert by_id["04.latency_full"].threshold == 1.1
    assert all(set(c.scaled) <= {"miniature"} for c in by_id.values())
    # Each scaled criterion states its reason; a new one needs a review.
    assert [i for i, c in by_id.items() if c.scaled] == [
        "02.trainable_count",
        "04.latency",
        "04.latency_acceptable",
        "05.as_tabulated",
        "05.base_differs",
        "07.base_differs",
    ]


def test_criteria_match_the_declared_metrics() -> None:
    assert check_criteria(CRITERIA) == HEARING


# Faults ------------------------------------------------------------------------------------------


def test_misspelt_key_is_named_with_line_and_nearest_key(folder: Path) -> None:
    text = refused(edit(folder, "    threshold: 0.05", "    treshold: 0.05"))
    assert "treshold" in text
    assert "did you mean `threshold`?" in text
    line = (folder / "03_tiny_overfit.yaml").read_text(encoding="utf-8").splitlines()
    at = int(re.search(r"overfit\.yaml:(\d+)", text)[1])  # type: ignore[index]
    assert line[at - 1].lstrip("- ").startswith(("treshold", "id: 03.loss"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    threshold: 0.05", "    threshold: small", "number"),
        ("    threshold: 0.05", "    threshold: yes", "number"),
        ("    threshold: 0.05", "    threshold: .nan", "finite"),
        ("    threshold: 0.05", "    threshold: [0.1, 0.01]", "above"),
        ("    threshold: 0.05", "    threshold: [0.01, 0.1]", "between"),
        ('    op: "<="', '    op: "=<"', "op"),
        ("    min_n: 256", "    min_n: 0", "min_n"),
        ("    min_n: 256", "    min_n: many", "min_n"),
        ("    unit: nats\n", "", "unit"),
        ("    decide_on: point", "    decide_on: ci_low", "ci_high"),
        ("id: 03.loss", "id: 02.loss", "begin with 03."),
        ("id: 03.audio_accuracy", "id: 03.loss", "twice"),
        ("    min_n: 256", "    min_n: 256\n    min_n: 256", "twice"),
        ("needs: [02_base_parity]", "needs: [02_base_party]", "02_base_party"),
        ("needs: [02_base_parity]", "needs: [11_seeds]", "not an earlier"),
        ("launch_items: [pilot_gains]", "launch_items: [pilot_gain]", "did you mean `pilot_gains`"),
        ("experiment: 03_tiny_overfit", "experiment: 03_tiny", "named"),
        ("criteria:\n", "criteria: [\n", "YAML"),
    ],
)
def test_fault_is_named_with_place_and_hint(folder: Path, old: str, new: str, message: str) -> None:
    assert message in refused(edit(folder, old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    threshold: 0.9\n", "    threshold: 1.5\n"),  # a share over 1
        ("    threshold: -0.9", "    threshold: -1.5"),  # rho below -1
    ],
)
def test_threshold_outside_the_unit_range_is_refused(folder: Path, old: str, new: str) -> None:
    text = refused(edit(folder, old, new))
    assert "no value can reach" in text
    assert "[threshold]" in text


def test_scaled_threshold_outside_the_unit_range_is_refused(folder: Path) -> None:
    path = edit(folder, "[1000, 2000000]", "[-5, -1]", "02_base_parity")
    assert "no value can reach" in refused(path)


def test_broken_file_does_not_prevent_loading_the_others(folder: Path) -> None:
    edit(folder, "criteria:\n", "criteria: [\n")
    files, faults = load_each(folder)
    assert len(files) == 11
    assert list(faults) == ["03_tiny_overfit"]


def test_empty_folder_and_invalid_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no criteria files"):
        load_all(tmp_path)
    (tmp_path / "01_x.yaml").write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="not a mapping"):
        load_all(tmp_path)
    (tmp_path / "01_x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_all(tmp_path)


def test_layout_and_comments_do_not_change_the_digest(folder: Path) -> None:
    path = folder / "03_tiny_overfit.yaml"
    before = criteria_digest(load_criteria(path))
    path.write_text("# another comment\n" + yaml.safe_dump(yaml.safe_load(path.read_text())))
    assert criteria_digest(load_criteria(path)) == before
    edit(folder, "0.05", "0.06")
    assert criteria_digest(load_criteria(path)) != before


# Metrics that modules declare --------------------------------------------------------------------

MODULE = """
import torch_that_is_not_there

METRICS = {
    "loss": {"unit": "nats", "low": 0.0, "high": None},
    "audio_accuracy": {"unit": "fraction", "low": 0.0, "high": 1.0},
    "audio_needed": {"unit": "fraction", "low": -1.0, "high": 1.0},
    "vl_unchanged": {"unit": "count", "low": 0, "high": None},
    "learning_curve": {"unit": "rho", "low": -1.0, "high": 1.0},
    "learning_plateau": {"unit": "ratio", "low": 0.0, "high": None},
}
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of experiment modules that contains only tiny_overfit.py."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "tiny_overfit.py").write_text(MODULE)
    original = criteria_check.module_path

    def module_path(package: str, experiment: str) -> Path:
        file = folder / f"{experiment[3:]}.py"
        return file if file.is_file() else original(package, experiment)

    monkeypatch.setattr(criteria_check, "module_path", module_path)
    return folder


def test_metrics_are_read_without_importing_the_module(modules: Path) -> None:
    metrics = read_metrics(modules / "tiny_overfit.py")
    assert metrics["loss"].unit == "nats"
    assert metrics["loss"].high == float("inf")
    assert len(check_criteria(CRITERIA)) == 12


def test_undeclared_metric_is_named_with_the_nearest_name(folder: Path, modules: Path) -> None:
    text = refused(edit(folder, "metric: loss", "metric: los"))
    assert "03.loss" in text
    assert "did you mean `loss`?" in text


def test_unit_other_than_the_declared_one_is_refused(folder: Path, modules: Path) -> None:
    assert "'nats', not in 'bits'" in refused(edit(folder, "unit: nats", "unit: bits"))


def test_threshold_outside_the_declared_range_is_refused(folder: Path, modules: Path) -> None:
    assert "no value can reach" in refused(edit(folder, "threshold: 0.05", "threshold: -0.05"))


@pytest.mark.parametrize(
    "text",
    ["x = 1\n", "METRICS = make()\n", "METRICS = {'a': 3}\n", "METRICS = {'a': {'low': 0}}\n"],
)
def test_module_without_readable_metrics_is_refused(modules: Path, text: str) -> None:
    (modules / "tiny_overfit.py").write_text(text)
    with pytest.raises(ConfigError, match="METRICS"):
        check_criteria(CRITERIA)


def test_reachable_at_the_ends_of_the_range() -> None:
    assert reachable(">=", 1.0, 0, 1)
    assert not reachable(">", 1.0, 0, 1)
    assert reachable("<=", 0.0, 0, 1)
    assert not reachable("<", 0.0, 0, 1)
    assert reachable("==", 0.0, 0, 1)
    assert not reachable("==", 2.0, 0, 1)
    assert not reachable("between", (2, 3), 0, 1)
