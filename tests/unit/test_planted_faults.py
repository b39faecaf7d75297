"""The catalogue of planted faults is complete and current; the faults themselves run elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from safe.gates.criteria import load_all
from tests.faults import as_markdown
from tests.paths import ROOT

CATALOGUE = ROOT / "docs" / "planted_faults.md"
HEARING = ROOT / "config" / "hearing" / "criteria"
FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def planted() -> Iterator[tuple[str, str, list[str]]]:
    """File, test and criteria of every `fault(...)` in the tests; the test is "" in a parameter."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(ROOT).as_posix()
        owners = {
            id(decorator): node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for decorator in node.decorator_list
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("fault", "planted"):
                words = [a.value for a in ast.walk(node) if isinstance(a, ast.Constant)]
                named = [w for w in words if isinstance(w, str) and re.match(r"\d\d\.", w)]
                yield where, owners.get(id(node), ""), named


def words_of(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def test_every_planted_fault_is_in_the_catalogue() -> None:
    text = CATALOGUE.read_text(encoding="utf-8")
    missing = [test for _, test, _ in planted() if test and f"| {words_of(test)}" not in text]
    assert not missing, "run the command at the top of tests/faults.py"


def test_catalogue_has_no_fault_that_was_not_caught_or_no_longer_exists() -> None:
    rows = [line.split(" | ") for line in CATALOGUE.read_text().splitlines() if line[:3] == "| d"]
    tests = {words_of(test) for _, test, _ in planted()}
    assert len(CATALOGUE.read_text().splitlines()) > 60
    assert "NOT CAUGHT" not in CATALOGUE.read_text()
    assert all(row[1].partition(" (")[0] in tests or " (" in row[1] for row in rows)


def test_every_required_criterion_of_hearing_has_a_planted_fault() -> None:
    caught = {name for _, _, criteria in planted() for name in criteria}
    required = {
        criterion.id
        for file in load_all(HEARING)
        for criterion in file.criteria
        if criterion.severity == "required" and not file.optional
    }
    assert sorted(required - caught) == []


@pytest.mark.parametrize("passed", [True, False])
def test_a_fault_that_was_not_caught_is_shown(passed: bool) -> None:
    row = {
        "layer": "data",
        "imitates": "a copy",
        "caught": "01.no_leakage: fail",
        "test": "tests/sabotage/test_x.py::test_copy[3-a]",
        "passed": passed,
    }
    text = as_markdown([row])
    assert ("1 of 1" in text) == passed
    assert ("NOT CAUGHT" in text) == (not passed)
    assert "| copy (3-a) | a copy |" in text
