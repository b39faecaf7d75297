"""Peak memory and time of repeated work, on a GPU and on a CPU."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from safe.hearing.evaluation.latency import wait

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # what Linux's clear_refs takes to reset VmHWM: proc(5)
SAMPLE_SECONDS = 0.002


@dataclass(slots=True)
class Peak:
    """Most memory held at once, and how that is known.

    Attributes:
        bytes: of the device's tensors, or the process's resident set.
        reserved: taken by the device's allocator; on a CPU as `bytes`.
        method: `device`, `VmHWM` or `sampled`.
    """

    bytes: int = 0
    reserved: int = 0
    method: str = ""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """The peak while the block runs; it is filled in when the block has ended."""
    peak = Peak()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        wait(device)
        peak.bytes = int(torch.cuda.max_memory_allocated(device))
        peak.reserved = int(torch.cuda.max_memory_reserved(device))
        peak.method = "device"
        return
    _trim()
    if _reset_high_water():
        yield peak
        peak.bytes, peak.method = _high_water(), "VmHWM"
    else:
        with _sampled() as seen:
            yield peak
        peak.bytes, peak.method = max(seen), "sampled"
    peak.reserved = peak.bytes


def _trim() -> None:
    """Give freed memory back, so that an earlier peak does not hide this one (glibc alone)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_high_water() -> bool:
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return False  # no Linux, or a container that forbids it
    return _high_water() > 0


def _high_water() -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _sampled() -> Iterator[list[int]]:
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.append(process.memory_info().rss)


@dataclass(frozen=True, slots=True)
class Point:
    """Repeated work of one size: seconds of each repeat, and the peak over all of them."""

    seconds: list[float]
    peak: Peak


def profile(call: Callable[[], Any], device: torch.device, *, repeats: int) -> Point:
    """Time and peak memory of `call`, after a warm-up that is in the peak and not in the times."""
    seconds = []
    with peak_memory(device) as peak:
        call()
        for _ in range(repeats):
            wait(device)
            started = time.perf_counter()
            call()
            wait(device)
            seconds.append(time.perf_counter() - started)
    return Point(seconds, peak)


def memory_of(device: torch.device) -> int:
    """Bytes that the device has; on a CPU the machine's, or its control group's where less."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
