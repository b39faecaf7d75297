"""Calls are timed in turns, none always first."""

import time

import torch

from safe.evaluation.latency import interleaved


def test_each_call_has_its_own_time_and_turn():
    order = []

    def call(name, seconds):
        def run():
            order.append(name)
            time.sleep(seconds)

        return run

    found = interleaved([call("a", 0.0), call("b", 0.02)], torch.device("cpu"), repeats=4)
    assert order[:2] == ["a", "b"]  # the warm-up
    assert order[2:] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert len(found) == 4
    assert all(b >= 0.02 > a for a, b in found)
