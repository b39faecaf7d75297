"""Peak memory of consecutive parts of a process."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # proc(5): sets the peak resident set size to the current one


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak, of a CUDA device or, on Linux, of this process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        CLEAR.write_text(RESET_PEAK, encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Return peak bytes since `reset_peak_memory`; on a CPU without Linux, since process start."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
