"""Batches: every row once per epoch, similar lengths, reproducible, resumable."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.training.sampler import LengthBatches

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=150)
sizes = st.integers(1, 16)
seeds = st.integers(0, 2**31)


@given(lengths, sizes, seeds)
def test_every_row_occurs_once_per_epoch(lengths, size, seed):
    batches = LengthBatches(lengths, size, seed)
    for _ in range(2):
        drawn = [row for _ in range(batches.per_epoch) for row in batches.next()]
        assert sorted(drawn) == list(range(len(lengths)))


@given(lengths, sizes, seeds, st.integers(0, 30))
def test_resumed_sampler_continues_identically(lengths, size, seed, before):
    whole = LengthBatches(lengths, size, seed)
    for _ in range(before):
        whole.next()
    resumed = LengthBatches(lengths, size, seed)
    resumed.resume(whole.state())
    assert [whole.next() for _ in range(12)] == [resumed.next() for _ in range(12)]


@given(st.lists(st.integers(1, 60), min_size=64, max_size=64), seeds)
def test_rows_of_a_batch_have_similar_lengths(lengths, seed):
    """With one pool, batches do not overlap in length after sorting."""
    batches = LengthBatches(lengths, 8, seed)
    spans = sorted(
        (min(b), max(b))
        for b in ([lengths[r] for r in batches.next()] for _ in range(batches.per_epoch))
    )
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_epochs_and_seeds_differ():
    batches = LengthBatches([5] * 40, 8, 0)
    first, second = ([batches.next() for _ in range(5)] for _ in range(2))
    other = LengthBatches([5] * 40, 8, 1)
    assert first != second
    assert first != [other.next() for _ in range(5)]


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no examples"):
        LengthBatches([], 4, 0)
