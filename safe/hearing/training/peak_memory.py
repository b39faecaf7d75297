"""Peak memory of what one process does after another."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # proc(5): sets the peak resident set size to the current one


def reset_peak_memory(device: torch.device) -> None:
    """Begin anew: a device with memory of its own everywhere, this process on Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        CLEAR.write_text(RESET_PEAK, encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Peak bytes since `reset_peak_memory`; off Linux, on a CPU, since the process began."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
