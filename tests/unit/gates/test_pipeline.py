"""pipeline.yaml: loading, and faults that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from safe.errors import ConfigError
from safe.gates.criteria_check import check_criteria, experiments_folder
from safe.gates.pipeline import load_pipeline
from safe.gates.run import open_gate_run
from safe.report.page import render
from tests.unit.gates.builders import (
    CRITERIA,
    copy_criteria,
    criteria_of,
    criterion,
    toy_criteria,
)


def edit(criteria: Path, old: str, new: str) -> None:
    path = criteria.parent / "pipeline.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_hearing_has_six_launch_items_and_two_scales() -> None:
    pipeline = load_pipeline(CRITERIA)
    assert len(pipeline.launch_items) == 6
    assert list(pipeline.scales) == ["full", "miniature"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title:", "titel:", "did you mean `title`"),
        ("  full: The real toy.\n", "", "the plan's own scale"),
        ("launch_items:", "launch_items: {}\nother:", "launch_items"),
        ("package: tests.toy", "package: Tests toy", "package"),
        ("key: paint.colour", "key: paint colour", "key"),
        ("title:", "title: [", "not YAML"),
    ],
)
def test_faulty_file_is_refused_with_its_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    criteria = toy_criteria(tmp_path / "criteria")
    edit(criteria, old, new)
    with pytest.raises(ConfigError, match=message) as caught:
        load_pipeline(criteria)
    assert "pipeline.yaml" in str(caught.value)


def test_unknown_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such pipeline"):
        load_pipeline(tmp_path / "criteria")


def test_missing_package_is_refused() -> None:
    for package in ("safe.deafness", "json"):
        with pytest.raises(ConfigError, match="there is no package"):
            experiments_folder(package)


def test_criteria_without_an_experiment_are_refused(tmp_path: Path) -> None:
    criteria = copy_criteria(tmp_path / "criteria")
    (criteria / "13_absent.yaml").write_text(
        criteria_of(criterion(id="13.share"), name="13_absent").model_dump_json()
    )
    with pytest.raises(ConfigError, match="measures '13_absent'"):
        check_criteria(criteria)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scaled": {"tiny": {"threshold": 0.5, "reason": "x" * 30}}}, "no scale 'tiny'"),
        ({"scaled": {"full": {"threshold": 0.5, "reason": "x" * 30}}}, "unscaled"),
        ({"power": {"kind": "exact", "scale": "tiny", "reason": "x" * 30}}, "no scale 'tiny'"),
    ],
)
def test_criterion_with_an_unknown_scale_is_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    criteria = toy_criteria(tmp_path / "criteria")
    made = criteria_of(criterion(**changes))
    (criteria / "01_made_up.yaml").write_text(made.model_dump_json())
    with pytest.raises(ConfigError, match=message):
        check_criteria(criteria)


def test_page_has_the_pipelines_title_fields_and_items(tmp_path: Path) -> None:
    criteria = toy_criteria(tmp_path / "criteria")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"scale": "pocket", "paint": [{"colour": "<red>"}]}')
    page = render(open_gate_run(run, criteria=criteria, lenient=True)).read_text()
    for words in ("Toy launch", "Colour", "&lt;red&gt;", "pocket", "Scores are what they say"):
        assert words in page
    (run / "config.json").write_text('{"scale": "huge"}')
    page = render(open_gate_run(run, criteria=criteria, lenient=True)).read_text()
    assert "unpainted" in page
