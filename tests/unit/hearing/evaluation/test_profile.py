"""Peak memory of known allocations, by both methods."""

import time

import numpy as np
import pytest
import torch

from safe.hearing.evaluation import profile as profiling
from safe.hearing.evaluation.profile import memory_of, peak_memory, profile
from tests.clock import Clock

CPU = torch.device("cpu")
MB = 2**20


@pytest.mark.parametrize("mode", ["VmHWM", "sampled"])
def test_peak_contains_a_known_buffer(monkeypatch, mode):
    if mode == "sampled":
        monkeypatch.setattr(profiling, "_reset_high_water", lambda: False)
    elif not profiling._reset_high_water():
        pytest.skip("this system does not let a process reset its peak")
    with peak_memory(CPU) as before:
        time.sleep(0.01)
    with peak_memory(CPU) as peak:
        buffer = np.ones(100 * MB // 8)
        time.sleep(0.02)
        del buffer
    assert peak.method == mode
    assert peak.bytes - before.bytes == pytest.approx(100 * MB, rel=0.1)


def test_earlier_peak_is_reset():
    with peak_memory(CPU):
        buffer = np.ones(100 * MB // 8)
        time.sleep(0.02)
        del buffer
    with peak_memory(CPU) as after:
        time.sleep(0.01)
    with peak_memory(CPU) as high:
        buffer = np.ones(100 * MB // 8)
        time.sleep(0.02)
        del buffer
    assert after.bytes < high.bytes - 50 * MB


def test_every_repeat_is_timed_and_the_warm_up_is_not(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, "time", clock)
    calls = []

    def call():
        calls.append(0)
        clock.sleep(100 if len(calls) == 1 else len(calls))

    found = profile(call, CPU, repeats=5)
    assert len(calls) == 6
    assert found.seconds == pytest.approx([2, 3, 4, 5, 6])


def test_memory_of_the_device_is_plausible():
    assert 256 * MB < memory_of(CPU) < 2**50
