"""Metrics are recomputed from their per-item tables, so a record alone does not make a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from safe.errors import EvidenceError
from safe.gates.documents import read_measurement
from safe.gates.recompute import contradiction, recompute
from safe.gates.run import judge_experiment, open_gate_run
from safe.gates.schema import Derivation
from safe.gates.status import statuses
from safe.gates.token import GateClosed, check_gate
from tests.faults import fault
from tests.unit.gates.builders import CRITERIA, NAMES, make_run, measure_again, metric

LAST = NAMES[2]
ROWS = [
    {"task": "audio" if i % 4 else "vl", "right": i % 3 > 0, "other": i % 5 > 0} for i in range(40)
]


def table(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@settings(deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"task": st.sampled_from("ab"), "x": st.booleans(), "y": st.booleans()}
        ),
        min_size=1,
    )
)
def test_statistics_agree_with_numpy(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = table(tmp_path_factory.mktemp("tables") / "rows.parquet", rows)
    x, y = (np.array([row[name] for row in rows], dtype=float) for name in "xy")
    chosen = np.array([row["task"] == "a" for row in rows])

    def value(statistic: str, *columns: str, **options: Any) -> float:
        derivation = Derivation.model_validate(
            {"statistic": statistic, "columns": list(columns), **options}
        )
        return recompute(path, derivation)[0]

    assert value("mean", "x") == pytest.approx(x.mean())
    assert value("mean", "x", negated=True) == pytest.approx(1 - x.mean())
    assert value("difference", "x", "y") == pytest.approx(np.mean(x - y))
    assert value("count", "x", where={"task": ["a"]}) == x[chosen].sum()
    assert value("count", "x", where={"y": [False]}, negated=True) == (1 - x)[y == 0].sum()
    if len(rows) > 1:
        assert value("sd", "x") == pytest.approx(x.std(ddof=1))
    if chosen.any():
        assert value("mean", "y", where={"task": ["a"]}) == pytest.approx(y[chosen].mean())


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ["absent"]},
        {"columns": ["right"], "where": {"absent": ["x"]}},
        {"columns": ["right"], "where": {"task": ["no such task"]}},  # mean of no rows
        {"columns": ["task"]},
    ],
)
def test_table_that_does_not_fit_is_an_error(tmp_path: Path, options: dict[str, Any]) -> None:
    path = table(tmp_path / "rows.parquet")
    with pytest.raises(EvidenceError) as found:
        recompute(path, Derivation(statistic="mean", **options))
    assert found.value.where == path


@pytest.mark.parametrize("content", [None, b"", b"PAR1 is not enough"])
def test_broken_table_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rows.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvidenceError):
        recompute(path, Derivation(statistic="count", columns=["right"]))


@pytest.mark.parametrize("columns", [["right"], ["right", "other", "task"], []])
def test_a_difference_needs_two_columns(columns: list[str]) -> None:
    with pytest.raises(ValidationError):
        Derivation(statistic="difference", columns=columns)


def test_a_derivation_needs_a_table() -> None:
    with pytest.raises(ValidationError):
        metric(0.5, derivation=Derivation(statistic="mean", columns=["right"]))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose last experiment names its table; no other field depends on it."""
    run = make_run(tmp_path / "trial")
    table(run / LAST / "rows.parquet")
    claim(run)
    return run


def claim(run: Path, **changes: Any) -> None:
    """Record a measurement as if it had been measured so, with a right derivation, and judge it."""
    document = read_measurement(run / LAST / "measurement.json").model_dump(mode="json")
    right = metric(
        0.0,
        name="extra",
        n=len(ROWS),
        ci=None,
        per_item="rows.parquet",
        derivation=Derivation(statistic="mean", columns=["right"]),
    ).model_dump(mode="json")
    right |= {"value": sum(row["right"] for row in ROWS) / len(ROWS)} | changes
    kept = [m for m in document["metrics"] if m["name"] != "extra"]
    measure_again(run, LAST, metrics=[*kept, right])
    judge_experiment(open_gate_run(run), LAST)


def test_right_value_is_go(run: Path) -> None:
    row = statuses(run, CRITERIA)[LAST]
    assert row.status == "go", row.reason
    assert contradiction(run / LAST, read_measurement(run / LAST / "measurement.json")) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"value": 0.7}, "rows.parquet gives 0.65"), ({"n": 10**9}, "has 40 rows")],
)
@fault("records", "a number and all its digests rewritten, its table forgotten")
def test_value_that_its_table_does_not_give_is_no_go(
    run: Path, changes: dict[str, Any], named: str
) -> None:
    """A measurement was edited together with its digests and the history."""
    claim(run, **changes)
    row = statuses(run, CRITERIA)[LAST]
    assert row.status == "no-go"
    assert named in row.reason
    with pytest.raises(GateClosed, match=named):
        check_gate(open_gate_run(run), LAST)


def test_derivation_does_not_change_digests_of_older_records(tmp_path: Path) -> None:
    run = make_run(tmp_path / "trial")
    path = run / LAST / "measurement.json"
    document = json.loads(path.read_text())
    for each in document["metrics"]:
        each.pop("derivation", None)
    path.write_text(json.dumps(document))
    assert statuses(run, CRITERIA)[LAST].status == "go"
