"""Tests of planted faults, and the catalogue of them in docs/planted_faults.md.

pytest -m fault -n 2 --catalogue docs/planted_faults.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from safe.gates.schema import Decision

LAYERS = ("data", "model", "training", "evaluation", "statistics", "records")
HEADER = """# Planted faults

Written by `pytest -m fault -n 2 --catalogue docs/planted_faults.md`, which plants each fault and
records what the judge said. {caught} of {planted} planted faults were caught.
`benchmarks/distances.md` shows the other side: eight default runs without a fault, in which no
required criterion failed.

| layer | planted fault | what it imitates | caught by | test |
|---|---|---|---|---|
"""

_seen: dict[str, str] = {}  # criterion -> verdict in the running test


def fault(layer: str, imitates: str, *criteria: str) -> pytest.MarkDecorator:
    """Mark a test that plants a fault.

    Args:
        imitates: how the fault happens in practice.
        criteria: those that must catch it; none if a gate refuses the records themselves.
    """
    assert layer in LAYERS, layer
    return pytest.mark.fault(layer=layer, imitates=imitates, criteria=criteria)


def note(decision: Decision) -> Decision:
    """Record the verdicts of the running test for the catalogue."""
    _seen.update({judged.id: judged.verdict for judged in decision.criteria})
    return decision


def start() -> None:
    """Forget the verdicts of the test before."""
    _seen.clear()


def row_of(item: pytest.Item) -> dict[str, Any] | None:
    """Return the catalogue's row of a test that has run, or None if it plants no fault."""
    marker = item.get_closest_marker("fault")
    if marker is None:
        return None
    criteria = marker.kwargs["criteria"]
    seen = [f"{name}: {_seen[name]}" for name in criteria if name in _seen]
    return {
        "layer": marker.kwargs["layer"],
        "imitates": marker.kwargs["imitates"],
        "caught": ", ".join(seen) or ", ".join(criteria) or "refused by the gate",
        "test": item.nodeid,
    }


class Catalogue:
    """Plugin that writes the catalogue after the last test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Mapping[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, row in report.user_properties:
            if name == "fault" and report.when == "call":
                self.rows.append({**row, "passed": report.passed})  # type: ignore[dict-item]

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(as_markdown(self.rows), encoding="utf-8")


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the catalogue, sorted by layer."""
    ordered = sorted(rows, key=lambda row: (LAYERS.index(row["layer"]), row["test"]))
    head = HEADER.format(caught=sum(row["passed"] for row in rows), planted=len(rows))
    return head + "".join(_line(row) for row in ordered)


def _line(row: Mapping[str, Any]) -> str:
    path, _, name = row["test"].partition("::")
    words = name.removeprefix("test_").partition("[")
    what = words[0].replace("_", " ") + (f" ({words[2].rstrip(']')})" if words[2] else "")
    caught = row["caught"] if row["passed"] else "NOT CAUGHT"
    return f"| {row['layer']} | {what} | {row['imitates']} | {caught} | `{path}` |\n"
