"""Compare latencies of calls that alternate on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch


def wait(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def orders(calls: int) -> list[list[int]]:
    """Return orders of the calls that are balanced for carry-over effects such as caches.

    Over all orders, each call follows each other call equally often and is first equally often
    (Williams 1949, Australian Journal of Scientific Research A 2, 149). There are as many orders as
    calls, twice as many if their number is odd.
    """
    zigzag = [(place + 1) // 2 * (-1) ** (place + 1) for place in range(calls)]  # 0, 1, -1, 2, ...
    square = [[(place + turn) % calls for place in zigzag] for turn in range(calls)]
    if calls % 2 == 0:
        return square
    return [order for row in square for order in (row, row[::-1])]


def interleaved(
    calls: Sequence[Callable[[], Any]], device: torch.device, *, repeats: int
) -> list[tuple[float, ...]]:
    """Return the seconds of each call, per repeat, after a warm-up, in turns of `orders`."""
    for call in calls:
        call()
    wait(device)
    results = []
    for order in islice(cycle(orders(len(calls))), repeats):
        seconds = [0.0] * len(calls)
        for number in order:
            started = time.perf_counter()
            calls[number]()
            wait(device)
            seconds[number] = time.perf_counter() - started
        results.append(tuple(seconds))
    return results
