"""How long a finished run would take on 1, 2, 4 and 8 cores: list scheduling of its jobs.

    python benchmarks/packing.py results/default

The seconds of every job are those that Snakemake noted below `benchmarks/` of the run. Cores that
share memory bandwidth are not modelled, nor are judge and gate (seconds each).
"""

from __future__ import annotations

import argparse
import heapq
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Rule -> (the rules it needs, threads or 0 for all cores, priority), in the order of the run.
RULES: dict[str, tuple[list[str], int, int]] = {
    "prepare_data": ([], 2, 0),
    "measure_01": (["prepare_data"], 2, 0),
    "prepare_base": (["measure_01"], 2, 0),
    "measure_02": (["prepare_base"], 2, 0),
    "measure_03": (["measure_02"], 2, 0),
    "prepare_features": (["measure_03"], 2, 0),
    "pilot": (["prepare_features"], 1, 1),
    "ablation": (["prepare_features"], 1, 0),
    "measure_04": (["pilot", "ablation"], 2, 0),
    "measure_05": (["measure_04"], 2, 0),
    "measure_06": (["measure_04"], 0, 0),
    "measure_07": (["measure_05"], 2, 0),
    "parts_08": (["measure_06", "measure_07"], 1, 0),
    "measure_08": (["parts_08"], 1, 0),
    "start_09": (["measure_08"], 1, 2),
    "parts_09": (["start_09"], 1, 0),
    "measure_09": (["parts_09"], 1, 0),
    "parts_10": (["measure_08"], 1, 1),
    "measure_10": (["parts_10"], 1, 0),
    "parts_11": (["measure_09", "measure_10"], 1, 0),
    "measure_11": (["parts_11"], 1, 0),
    "parts_12": (["measure_11"], 1, 0),
    "outcomes_12": (["parts_12"], 1, 0),
    "measure_12": (["outcomes_12"], 1, 0),
}


@dataclass(frozen=True)
class Job:
    """A job of a rule."""

    rule: str
    seconds: float
    threads: int
    priority: int


def makespan(seconds: Mapping[str, Sequence[float]], cores: int) -> float:
    """Seconds of the whole run: a job starts as soon as its rule may and its cores are free.

    Of those that may, higher priority goes first, then the longer job.
    """
    left = {rule: len(seconds[rule]) for rule in RULES}
    waiting = [
        Job(rule, each, min(threads or cores, cores), priority)
        for rule, (_, threads, priority) in RULES.items()
        for each in seconds[rule]
    ]
    running: list[tuple[float, int, Job]] = []
    now, free, number = 0.0, cores, 0
    while waiting or running:
        ready = [j for j in waiting if all(left[need] == 0 for need in RULES[j.rule][0])]
        for job in sorted(ready, key=lambda j: (-j.priority, -j.seconds)):
            if job.threads <= free:
                waiting.remove(job)
                free -= job.threads
                number += 1
                heapq.heappush(running, (now + job.seconds, number, job))
        now, _, done = heapq.heappop(running)
        free += done.threads
        left[done.rule] -= 1
    return now


def read_seconds(run: Path) -> dict[str, list[float]]:
    """Rule -> seconds of each of its jobs; those of an experiment that has several end in a number
    or in the name of their part.

    Raises:
        SystemExit: a rule of the run has left no benchmark.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for path in sorted((run / "benchmarks").glob("*.tsv")):
        rule = re.sub(r"^(ablation|pilot)_.*|^(parts_\d+)_.*", r"\1\2", path.stem)
        header, *_, last = path.read_text().splitlines()
        found[rule].append(float(last.split("\t")[header.split("\t").index("s")]))
    if lacking := [rule for rule in RULES if rule not in found]:
        raise SystemExit(f"{run} has no benchmark of {', '.join(lacking)}: let the run finish")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    seconds = read_seconds(parser.parse_args().run)
    print("| rule | jobs | seconds |\n|---|---|---|")
    for rule in RULES:
        each = seconds[rule]
        print(f"| {rule} | {len(each)} | {' + '.join(f'{s:.0f}' for s in each)} |")
    print("\n| job seconds | 1 core | 2 cores | 4 cores | 8 cores |\n|---|---|---|---|---|")
    times = " | ".join(f"{makespan(seconds, cores) / 60:.1f} min" for cores in (1, 2, 4, 8))
    print(f"| {sum(map(sum, seconds.values())):.0f} | {times} |")


if __name__ == "__main__":
    main()
