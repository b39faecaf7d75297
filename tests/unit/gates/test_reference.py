"""Deviations of a run's criteria and settings from those that the pipeline ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from safe.errors import ConfigError
from safe.gates.criteria import load_all
from safe.gates.launching import evidence_of
from safe.gates.reference import SETTINGS, changed_settings, deviations, load_reference
from safe.gates.run import open_gate_run
from safe.gates.status import write_launch
from safe.pipeline.definition import load_run_config
from safe.report.page import render
from tests.faults import fault
from tests.paths import ROOT
from tests.unit.gates.builders import CRITERIA, make_run

Edit = Callable[[dict[str, Any]], None]
PILOT, SWEEP = "04_stage_a_pilot", "10_sweep"


def edited(tmp_path: Path, name: str, edit: Edit) -> Path:
    """A copy of the pipeline's criteria in which one file is edited."""
    folder = tmp_path / "hearing"
    shutil.copytree(CRITERIA.parent, folder)
    path = folder / "criteria" / f"{name}.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return folder / "criteria"


def lines(criteria: Path) -> list[str]:
    reference = load_reference("safe.hearing")
    assert reference is not None
    return deviations(load_all(criteria), reference)


def first(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = values["criteria"][0]
    return found


def test_shipped_criteria_do_not_deviate() -> None:
    assert lines(CRITERIA) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda v: v["criteria"].pop(0), "04.vl_drop: deleted"),
        (lambda v: first(v).update(severity="advisory"), '04.vl_drop severity: "advisory", '
         'reference "required"'),
        (lambda v: first(v).update(threshold=0.5), "04.vl_drop threshold: 0.5, reference 0.005"),
        (lambda v: first(v).update(decide_on="point"), '04.vl_drop decide_on: "point", '
         'reference "ci_high"'),
        (lambda v: first(v).update(min_n=1), "04.vl_drop min_n: 1, reference 1000"),
        (lambda v: v.update(optional=True), f"{PILOT} optional: true, reference false"),
        (lambda v: v.update(launch_items=[]), f'{PILOT} launch_items: [], reference '
         '["pilot_gains"]'),
        (lambda v: v["criteria"].append(first(v) | {"id": "04.again"}), "04.again: added"),
        (lambda v: v.update(selections=[]), f"{PILOT} selection smallest_config: deleted"),
    ],
)  # fmt: skip
def test_edit_is_listed(tmp_path: Path, edit: Edit, expected: str) -> None:
    assert lines(edited(tmp_path, PILOT, edit)) == [expected]


def test_edited_limit_of_a_selection_is_listed(tmp_path: Path) -> None:
    def loosen(values: dict[str, Any]) -> None:
        values["selections"][1]["confirm"][0]["threshold"] = -1

    [line] = lines(edited(tmp_path, SWEEP, loosen))
    assert line.startswith(f"{SWEEP} selection selected confirm: ")


def test_edited_scale_is_listed(tmp_path: Path) -> None:
    def loosen(values: dict[str, Any]) -> None:
        reason = "Anything at all is good enough here."
        first(values)["scaled"] = {"miniature": {"threshold": 1.0, "reason": reason}}

    [line] = lines(edited(tmp_path, PILOT, loosen))
    assert line == '04.vl_drop scaled: {"miniature": 1.0}, reference {}'


def test_prose_and_power_are_no_deviations(tmp_path: Path) -> None:
    def reword(values: dict[str, Any]) -> None:
        first(values)["rationale"] = "The same in other words, for a test."
        first(values).pop("power")
        values["title"] = "Another title"

    assert lines(edited(tmp_path, PILOT, reword)) == []


@fault("records", "a criteria file that was removed")
def test_a_missing_file_is_listed(tmp_path: Path) -> None:
    criteria = edited(tmp_path, PILOT, lambda values: None)
    (criteria / "12_rl_gate.yaml").unlink()
    assert lines(criteria) == ["12_rl_gate: its criteria file is missing"]


@fault("records", "a criterion deleted, made advisory or loosened")
def test_launch_and_page_list_deviations(tmp_path: Path) -> None:
    criteria = edited(tmp_path, PILOT, lambda v: first(v).update(threshold=0.5))
    run = open_gate_run(make_run(tmp_path / "r"), criteria=criteria)
    launch = write_launch(run)
    assert launch["deviations"] == ["04.vl_drop threshold: 0.5, reference 0.005"]
    page = render(run).read_text(encoding="utf-8")
    assert "04.vl_drop threshold: 0.5, reference 0.005" in page
    assert write_launch(open_gate_run(run.folder))["deviations"] == []


def test_a_package_without_a_reference_has_none() -> None:
    assert load_reference("tests.toy") is None


def test_a_broken_reference_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken_package" / "experiments"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package.parent / "reference_criteria.json").write_text(json.dumps({})[:1])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_reference("broken_package")


# Settings ----------------------------------------------------------------------------------------

SHIPPED = load_reference("safe.hearing", SETTINGS)


def config_with(**changes: Any) -> dict[str, Any]:
    config = load_run_config(ROOT / "config" / "config.yaml").model_dump(mode="json")
    return config | changes


@pytest.mark.parametrize("name", ["config.yaml", "av_digits.yaml", "blip2_opt_2_7b.yaml"])
def test_shipped_configs_have_no_differences(name: str) -> None:
    assert SHIPPED is not None
    config = load_run_config(ROOT / "config" / name).model_dump(mode="json")
    elsewhere = config | {"run": "other", "results": "/scratch/results"}
    assert changed_settings(elsewhere, SHIPPED) == (f"config/{name}", [])


def test_every_other_setting_is_listed_with_the_shipped_value() -> None:
    assert SHIPPED is not None
    changed = config_with(seed=5)
    changed["preflight"] = changed["preflight"] | {"verdict_file": "all_matched.yaml"}
    changed["datasets"] = [changed["datasets"][0] | {"name": "mine"}, *changed["datasets"][1:]]
    nearest, lines = changed_settings(changed, SHIPPED)
    assert nearest == "config/config.yaml"
    assert [line.split(":")[0] for line in lines] == [
        "datasets[0].name",
        "preflight.verdict_file",
        "seed",
    ]
    assert lines[-1] == "seed: 5, reference 0"


@fault("records", "fewer test questions than the shipped config asks for")
def test_launch_lists_settings_and_the_signature_covers_them(tmp_path: Path) -> None:
    run = make_run(tmp_path / "trial")
    waivers = json.loads((run / "config.json").read_text())["waivers"]
    launches = []
    for seed in (0, 5):
        changed = config_with(seed=seed, criteria=str(CRITERIA), waivers=waivers)
        (run / "config.json").write_text(json.dumps(changed))
        launches.append(write_launch(open_gate_run(run)))
    assert "seed: 5, reference 0" in launches[1]["settings"]["differences"]
    assert "seed: 5, reference 0" in render(open_gate_run(run)).read_text(encoding="utf-8")
    assert evidence_of(launches[0]) != evidence_of(launches[1])
