"""Time of one thing against another, in pairs that alternate on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    calls: Sequence[Callable[[], Any]], device: torch.device, *, repeats: int
) -> list[tuple[float, ...]]:
    """Seconds of each call, `repeats` times over, after a warm-up.

    The order turns by one place each time, so that none is always first.
    """
    for call in calls:
        call()
    wait(device)
    found = []
    for turn in range(repeats):
        seconds = [0.0] * len(calls)
        for place in range(len(calls)):
            number = (turn + place) % len(calls)
            started = time.perf_counter()
            calls[number]()
            wait(device)
            seconds[number] = time.perf_counter() - started
        found.append(tuple(seconds))
    return found
