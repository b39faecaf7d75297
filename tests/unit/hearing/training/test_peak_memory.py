"""Peak memory can be reset between parts of a process."""

import torch

from safe.hearing.training.peak_memory import CLEAR, peak_memory, reset_peak_memory

CPU = torch.device("cpu")
LARGE = 2**28  # bytes


def test_peak_is_measured_and_reset():
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    large = torch.ones(LARGE, dtype=torch.uint8)
    assert peak_memory(CPU) - before > 0.9 * LARGE
    del large
    if CLEAR.exists():
        reset_peak_memory(CPU)
        assert peak_memory(CPU) - before < 0.5 * LARGE
