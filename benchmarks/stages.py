"""Time and peak memory of a finished run by stage, and the overhead of starting and importing.

    python benchmarks/stages.py results/default

The overhead is the time of the measuring rules outside the measurements. The time of the imports is
measured separately, in new processes.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path


def seconds(*command: str) -> float:
    """Return the wall-clock seconds of a command, best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main(run: Path) -> None:
    rows = []
    for file in sorted((run / "benchmarks").glob("*.tsv")):
        with file.open() as handle:
            row = next(csv.DictReader(handle, delimiter="\t"))
        rows.append((file.stem, float(row["s"]), row["max_rss"]))
    inner = {}
    for file in sorted(run.glob("*/measurement.json")):
        measurement = json.loads(file.read_text())
        inner["measure_" + measurement["experiment"][:2]] = measurement["duration_s"]
    print(f"{'stage':<16}{'seconds':>9}{'measuring':>11}{'peak MB':>9}")
    for name, total, peak in rows:
        own = f"{inner[name]:.1f}" if name in inner else "-"
        print(f"{name:<16}{total:>9.1f}{own:>11}{peak:>9}")
    total = sum(s for _, s, _ in rows)
    overhead = sum(s - inner[n] for n, s, _ in rows if n in inner)
    python = sys.executable
    print(f"\nsum of stages          {total:8.1f} s")
    print(f"start and imports      {overhead:8.1f} s in the experiments ({overhead / total:.1%})")
    start = seconds(python, "-c", "pass")
    light = seconds(python, "-c", "import safe.gates.judge, safe.gates.token, safe.cli")
    heavy = seconds(python, "-c", "import torch, transformers, peft")
    print(f"interpreter            {start:8.2f} s")
    print(f"judge and gate imports {light:8.2f} s (no torch)")
    print(f"torch, transformers    {heavy:8.2f} s (once per experiment)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/default"))
