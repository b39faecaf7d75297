"""How long the default run takes on 1, 2, 4 and 8 cores: list scheduling of its measured jobs.

    python benchmarks/packing.py

`MEASURED` is of a run on two cores (2026-11-23), whose experiments had two jobs each. The seconds
of a part follow from those that a job takes to start: one seed of 11 took 61 s and two took 112 s,
so a start takes 10 s and a seed 51 s. Cores that share memory bandwidth are not modelled, nor are
judge and gate (seconds each).
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from pathlib import Path

from safe.workflow import deal

ROOT = Path(__file__).resolve().parent.parent
MEASURED: dict[str, list[float]] = {  # rule -> seconds of its jobs
    "prepare_data": [43.0],
    "prepare_base": [258.0],
    "prepare_features": [22.0],
    "measure_01": [11.0],
    "measure_02": [13.0],
    "measure_03": [23.0],
    "pilot": [68.0, 43.0],
    "ablation": [73.0, 55.0],
    "measure_04": [33.0],
    "measure_05": [46.0],
    "measure_06": [39.0],
    "measure_07": [51.0],
    "parts_08": [34.0, 34.0],
    "measure_08": [2.0],
    "start_09": [25.0],
    "parts_09": [150.0, 139.0],
    "measure_09": [11.0],
    "parts_10": [194.0, 205.0],
    "measure_10": [7.0],
    "parts_11": [61.0, 112.0],
    "measure_11": [2.0],
    "parts_12": [29.0, 28.0],
    "outcomes_12": [72.0],
    "measure_12": [30.0],
}
SIZE = re.compile(r"RUN\.jobs\(\w+, size=(\d+)\)")
# Rules whose parts share jobs -> (rule file, number of parts in the default run).
GROUPED = {
    "ablation": ("04_stage_a_pilot", 9),
    "parts_08": ("08_curriculum", 3),
    "parts_09": ("09_retention", 10),
    "parts_10": ("10_sweep", 27),
    "parts_11": ("11_seeds", 3),
}
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


def grouped(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """The groups that the rules ask for; parts of an experiment are taken as equally long."""
    one, two = seconds["parts_11"]
    start = 2 * one - two
    found = dict(seconds)
    for rule, (file, count) in GROUPED.items():
        text = (ROOT / "workflow" / "rules" / f"{file}.smk").read_text(encoding="utf-8")
        size = SIZE.search(text)
        assert size is not None, file
        groups = deal([str(n) for n in range(count)], int(size[1]))
        if len(groups) != len(seconds[rule]):
            part = (sum(seconds[rule]) - len(seconds[rule]) * start) / count
            found[rule] = [start + part * len(group) for group in groups]
    return found


def makespan(seconds: dict[str, list[float]], cores: int) -> float:
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


def main() -> None:
    plans = {"two jobs an experiment": MEASURED, "groups": grouped(MEASURED)}
    print(
        "| jobs | job seconds | 1 core | 2 cores | 4 cores | 8 cores |\n|---|---|---|---|---|---|"
    )
    for name, plan in plans.items():
        total = sum(map(sum, plan.values()))
        times = " | ".join(f"{makespan(plan, cores) / 60:.1f}" for cores in (1, 2, 4, 8))
        print(f"| {name} | {total:.0f} | {times} |")


if __name__ == "__main__":
    main()
