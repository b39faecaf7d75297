"""Peak memory and time of repeated calls, on a GPU or a CPU."""

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
RESET_PEAK = "5"  # value for clear_refs that resets VmHWM: proc(5)
SAMPLE_SECONDS = 0.002


@dataclass(slots=True)
class Peak:
    """Peak memory.

    Attributes:
        bytes: of the device's tensors, or of the process's resident set.
        reserved: bytes reserved by the device's allocator; equal to `bytes` on a CPU.
        method: how it was measured: `device`, `VmHWM` or `sampled`.
    """

    bytes: int = 0
    reserved: int = 0
    method: str = ""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the peak of the block; the result is filled in at its end."""
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
    """Return freed memory to the system (glibc only), to start from a low resident set."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_high_water() -> bool:
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return False  # not Linux, or forbidden in this container
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
    """Seconds of each repeat, and the peak memory over all repeats."""

    seconds: list[float]
    peak: Peak


def profile(call: Callable[[], Any], device: torch.device, *, repeats: int) -> Point:
    """Measure time and peak memory of `call`; the peak includes a warm-up, the times do not."""
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
    """Return the device's memory in bytes; on a CPU the machine's or its control group's limit."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
