"""Cells, their order, and which cells a rung keeps."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.errors import ConfigError
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import (
    cells,
    job_name,
    let_through,
    neighbours,
    rounds,
    score,
    segment_of,
    stops,
)

GRID = SweepSettings()
HALVING = SweepSettings(mode="halving")


def test_grid_has_27_combinations_ordered_by_learning_rates():
    found = cells(GRID)
    assert len({cell.name for cell in found}) == 27
    assert found[0].name == "p5e-05_l2e-05_d0.5"
    assert found[-1].name == "p0.0002_l0.0001_d2"
    products = [cell.projector_lr * cell.lora_lr for cell in found]
    assert products == sorted(products)
    assert [c.distillation for c in found[:3]] == [0.5, 1.0, 2.0]


def test_neighbours_differ_in_one_coordinate():
    pairs = neighbours(GRID)
    assert len(pairs) == 3 * 18  # an axis has two gaps, and nine lines cross it
    for one, other in pairs:
        same = [a == b for a, b in zip(one.place, other.place, strict=True)]
        assert same.count(False) == 1


def test_grid_has_one_round_and_halving_one_per_rung():
    assert [len(names) for names in rounds(GRID)] == [27]
    assert [len(names) for names in rounds(HALVING)] == [27, 27, 27]
    for config in (GRID, HALVING):
        for number, names in enumerate(rounds(config)):
            for name in names:
                found = segment_of(config, name)
                assert job_name(found.cell, found.rung) == name
                assert found.until == (stops(config)[number] if found.rung else config.steps)


@pytest.mark.parametrize(
    ("config", "job"),
    [
        (GRID, "p1_l1_d1"),
        (GRID, "p5e-05_l2e-05_d0.5.r1"),
        (HALVING, "p5e-05_l2e-05_d0.5"),
        (HALVING, "p5e-05_l2e-05_d0.5.r4"),
        (HALVING, "p5e-05_l2e-05_d0.5.r0"),
        (GRID, "../x"),
    ],
)
def test_unknown_job_is_refused(config, job):
    with pytest.raises(ConfigError, match="no job"):
        segment_of(config, job)


EVALUATION = (
    st.fixed_dictionaries({"audio_accuracy": st.floats(0, 1), "vl_drop": st.floats(-0.1, 0.3)})
    | st.none()
)


@settings(deadline=None)
@given(st.lists(EVALUATION, min_size=27, max_size=27), st.integers(1, 27))
def test_rung_keeps_the_best_share(evaluations, count):
    names = [cell.name for cell in cells(GRID)][:count]
    seen = dict(zip(names, evaluations, strict=False))
    kept = let_through(GRID, seen)
    alive = [name for name in names if seen[name] is not None]
    assert len(kept) == min(len(alive), max(1, math.ceil(GRID.keep * count - 1e-9)))
    assert set(kept) <= set(alive)
    scores = {name: score(seen[name]) for name in alive}
    dropped = [scores[name] for name in alive if name not in kept]
    assert not dropped or not kept or max(dropped) <= min(scores[name] for name in kept)
    assert kept == [name for name in names if name in kept]


def test_ties_keep_the_smaller_learning_rates():
    names = [cell.name for cell in cells(GRID)]
    same = {name: {"audio_accuracy": 0.5, "vl_drop": 0.0} for name in names}
    assert let_through(GRID, same) == names[:9]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"projector_lr": [1e-4]}, "at least 2"),
        ({"lora_lr": [1e-4, 1e-4]}, "ascending"),
        ({"distillation": [2.0, 1.0]}, "ascending"),
        ({"projector_lr": [0.0, 1e-4]}, "greater than 0"),
        ({"rungs": [130, 50]}, "rungs must be ascending"),
        ({"rungs": [400]}, "rungs must be ascending"),
    ],
)
def test_invalid_grid_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SweepSettings(**values)
