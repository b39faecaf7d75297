"""Time of one thing against another, in pairs that alternate on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def orders(calls: int) -> list[list[int]]:
    """Orders in which each call follows each other one equally often, over all of them.

    What a call takes depends on what the one before it left in the machine's caches. A design
    balanced for that (Williams 1949, Australian Journal of Scientific Research A 2, 149): as many
    orders as calls, twice as many where their number is odd; each is first equally often, too.
    """
    zigzag = [(place + 1) // 2 * (-1) ** (place + 1) for place in range(calls)]  # 0, 1, -1, 2, ...
    square = [[(place + turn) % calls for place in zigzag] for turn in range(calls)]
    if calls % 2 == 0:
        return square
    return [order for row in square for order in (row, row[::-1])]


def interleaved(
    calls: Sequence[Callable[[], Any]], device: torch.device, *, repeats: int
) -> list[tuple[float, ...]]:
    """Seconds of each call, `repeats` times over, after a warm-up, in the turns of `orders`."""
    for call in calls:
        call()
    wait(device)
    found = []
    for order in islice(cycle(orders(len(calls))), repeats):
        seconds = [0.0] * len(calls)
        for number in order:
            started = time.perf_counter()
            calls[number]()
            wait(device)
            seconds[number] = time.perf_counter() - started
        found.append(tuple(seconds))
    return found
