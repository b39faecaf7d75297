"""Variance components over seeds and items: recovery of known values, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from safe.gates.statistics import seed_components

TABLES = st.tuples(st.integers(2, 5), st.integers(2, 30)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)


def simulated(
    rng: np.random.Generator,
    *,
    seeds: int,
    items: int,
    between: float,
    residual: float,
    per_cluster: int = 1,
    shared: float = 0.0,
) -> np.ndarray:
    """Normal scores; `shared` is the variance shared by the items of a cluster within a seed."""
    clusters = items // per_cluster
    common = np.repeat(rng.normal(0, shared**0.5, (seeds, clusters)), per_cluster, axis=1)
    difficulty = rng.normal(0, 5, items)
    seed = rng.normal(0, between**0.5, (seeds, 1))
    return seed + difficulty + common + rng.normal(0, residual**0.5, (seeds, items))


def test_known_components_are_recovered_on_average() -> None:
    rng = np.random.default_rng(1)
    found = [
        seed_components(simulated(rng, seeds=4, items=50, between=0.04, residual=1.0))
        for _ in range(4000)
    ]
    assert np.mean([f.residual for f in found]) == pytest.approx(1.0, rel=0.01)
    assert np.mean([f.item_noise for f in found]) == pytest.approx(1.0 / 50, rel=0.01)
    # The estimate is unbiased before truncation.
    assert np.mean([f.total - f.item_noise for f in found]) == pytest.approx(0.04, rel=0.05)


def test_correlated_items_of_a_cluster_reduce_the_effective_count() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(40), 5)
    tables = [
        simulated(rng, seeds=3, items=200, between=0.01, residual=0.5, per_cluster=5, shared=0.5)
        for _ in range(3000)
    ]
    found = [seed_components(table, labels) for table in tables]
    true_noise = 0.5 / 40 + 0.5 / 200  # cluster variance plus independent item variance
    assert np.mean([f.item_noise for f in found]) == pytest.approx(true_noise, rel=0.02)
    assert np.mean([f.total - f.item_noise for f in found]) == pytest.approx(0.01, rel=0.1)
    assert np.mean([f.design_effect for f in found]) == pytest.approx(3.0, rel=0.05)
    alone = [seed_components(table) for table in tables]
    assert np.mean([f.item_noise for f in alone]) < 0.4 * true_noise


def test_components_of_binary_answers_are_recovered() -> None:
    """Hard and easy questions; seeds differ by a point on each question."""
    rng = np.random.default_rng(3)
    easy = np.arange(400) < 300
    noise, between = [], []
    for _ in range(3000):
        share = np.where(easy, 0.95, 0.2) + rng.normal(0, 0.01, (3, 1))
        found = seed_components(rng.random((3, 400)) < share)
        noise.append(found.item_noise)
        between.append(found.total - found.item_noise)
    expected = (0.75 * 0.95 * 0.05 + 0.25 * 0.2 * 0.8) / 400
    assert np.mean(noise) == pytest.approx(expected, rel=0.02)
    assert np.mean(between) == pytest.approx(0.01**2, rel=0.15)


@settings(deadline=None)
@given(TABLES)
def test_components_are_never_negative_and_add_up(table: np.ndarray) -> None:
    found = seed_components(table)
    assert min(found.residual, found.item_noise, found.between, found.total) >= 0
    assert found.total <= found.item_noise + found.between + 1e-12
    assert found.item_noise == pytest.approx(found.residual / table.shape[1], abs=1e-12)
    assert found.total == pytest.approx(table.mean(axis=1).var(ddof=1), abs=1e-12)


@settings(deadline=None)
@given(TABLES, st.randoms(use_true_random=False))
def test_order_of_items_and_seeds_changes_nothing(table: np.ndarray, random: object) -> None:
    items, seeds = list(range(table.shape[1])), list(range(table.shape[0]))
    random.shuffle(items)  # type: ignore[attr-defined]
    random.shuffle(seeds)  # type: ignore[attr-defined]
    labels = np.arange(table.shape[1]) // 2 if table.shape[1] > 2 else np.arange(2)
    one = seed_components(table, labels).as_dict()
    other = seed_components(table[seeds][:, items], labels[items]).as_dict()
    assert other == pytest.approx(one, abs=1e-12)


@settings(deadline=None)
@given(arrays(np.int8, st.integers(2, 40), elements=st.integers(0, 1)), st.integers(2, 5))
def test_identical_seeds_have_zero_components(row: np.ndarray, seeds: int) -> None:
    found = seed_components(np.tile(row, (seeds, 1)))
    assert (found.residual, found.item_noise, found.between, found.total) == (0, 0, 0, 0)
    assert found.design_effect == 1


def test_constant_difference_between_seeds_is_all_between() -> None:
    found = seed_components([[0, 0, 0, 0], [1, 1, 1, 1]])
    assert found.residual == pytest.approx(0)
    assert found.between == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("scores", "clusters", "text"),
    [
        ([[1, 0, 1]], None, "2 seeds"),
        ([[1], [0]], None, "2 items"),
        ([1, 0, 1], None, "shape"),
        ([[1, 0], [float("nan"), 1]], None, "finite"),
        ([[1, 0], [0, 1]], ["a"], "1 cluster labels"),
        ([[1, 0], [0, 1]], ["a", "a"], "share one source"),
    ],
)
def test_invalid_table_is_refused(scores: list[list[float]], clusters: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        seed_components(scores, clusters)  # type: ignore[arg-type]
