"""Calls are timed in a balanced order."""

from collections import Counter
from itertools import pairwise

import pytest
import torch

from safe.hearing.evaluation import latency
from safe.hearing.evaluation.latency import interleaved, orders
from tests.clock import Clock


def test_each_call_is_timed_separately_in_alternating_order(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    order = []

    def call(name, seconds):
        def run():
            order.append(name)
            clock.sleep(seconds * len(order))  # each call takes longer than the previous one

        return run

    found = interleaved([call("a", 0.01), call("b", 1)], torch.device("cpu"), repeats=4)
    assert order[:2] == ["a", "b"]  # warm-up
    assert order[2:] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert found == [pytest.approx(pair) for pair in [(0.03, 4), (0.06, 5), (0.07, 8), (0.1, 9)]]


@pytest.mark.parametrize("calls", range(1, 11))
def test_each_call_is_first_and_follows_each_other_one_equally_often(calls):
    design = orders(calls)
    assert all(sorted(order) == list(range(calls)) for order in design)
    firsts = Counter(order[0] for order in design)
    followed = Counter(pair for order in design for pair in pairwise(order))
    assert set(firsts.values()) == {len(design) // calls}
    assert len(followed) == calls * (calls - 1)
    assert len(set(followed.values())) <= 1
