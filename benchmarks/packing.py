"""Estimated time of a finished run on 1, 2, 4 and 8 cores, by list scheduling of its jobs.

    python benchmarks/packing.py results/default

The seconds of the jobs are those that Snakemake recorded in `benchmarks/` of the run. The model
ignores shared memory bandwidth, and the rules judge and gate (seconds each).
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safe.pipeline.config import read_config
from safe.pipeline.workflow import Run, open_run

ROOT = Path(__file__).resolve().parents[1]
# Rule of `workflow/rules/hearing.smk` -> rules it waits for, and prefix of rules that wait for it.
PREPARED = {
    "prepare_data": ((), "measure_01"),
    "prepare_base": (("measure_01",), "measure_02"),
    "prepare_features": (("measure_03",), "job_04"),
}


@dataclass(frozen=True)
class Job:
    """A job of the run: rules it waits for, number of threads (0: all cores), and priority."""

    needs: tuple[str, ...]
    threads: int
    priority: int = 0


def jobs_of(run: Run) -> dict[str, Job]:
    """Return rule -> job, as defined in `workflow/rules`."""
    threads = run.config.threads
    found = {name: Job(needs, threads) for name, (needs, _) in PREPARED.items()}
    for experiment in run.experiments:
        number = experiment[:2]
        gates = tuple(f"measure_{need[:2]}" for need in run.criteria[experiment].needs)
        maker = {job: group.name for group in run.groups(experiment) for job in group.jobs}
        names = [f"job_{number}_{group.name}" for group in run.groups(experiment)]
        for name, group in zip(names, run.groups(experiment), strict=True):
            before = {f"job_{number}_{maker[job]}" for job in group.after}
            found[name] = Job((*gates, *sorted(before)), run.job_threads, group.priority)
        measure = f"measure_{number}"
        found[measure] = Job((*gates, *names), run.measure_threads(experiment, 0))
    for name, (_, first) in PREPARED.items():
        for rule, job in found.items():
            if rule.startswith(first):
                found[rule] = Job((*job.needs, name), job.threads, job.priority)
    return found


def makespan(jobs: Mapping[str, Job], seconds: Mapping[str, float], cores: int) -> float:
    """Return the seconds of the whole run. A job starts when its inputs and cores are available.

    Ready jobs are ordered by priority, then by length, longest first.
    """
    waiting, done = set(jobs), set()
    running: list[tuple[float, str]] = []
    now, free = 0.0, cores

    def width(rule: str) -> int:
        return min(jobs[rule].threads or cores, cores)

    while waiting or running:
        ready = [rule for rule in waiting if done.issuperset(jobs[rule].needs)]
        for rule in sorted(ready, key=lambda r: (-jobs[r].priority, -seconds[r], r)):
            if width(rule) <= free:
                waiting.remove(rule)
                free -= width(rule)
                heapq.heappush(running, (now + seconds[rule], rule))
        now, rule = heapq.heappop(running)
        free += width(rule)
        done.add(rule)
    return now


def read_seconds(run: Path, jobs: Mapping[str, Job]) -> dict[str, float]:
    """Return rule -> seconds of its job.

    Raises:
        SystemExit: the benchmark of a job is missing.
    """
    found = {}
    for rule in jobs:
        path = run / "benchmarks" / f"{rule}.tsv"
        if not path.is_file():
            raise SystemExit(f"{run} has no benchmark of {rule}; finish the run first")
        header, *_, last = path.read_text().splitlines()
        found[rule] = float(last.split("\t")[header.split("\t").index("s")])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    config = folder / "config.json"
    jobs = jobs_of(open_run(read_config(config), ROOT, str(config)))
    seconds = read_seconds(folder, jobs)
    print("| rule | seconds |\n|---|---|")
    for rule, each in seconds.items():
        print(f"| {rule} | {each:.0f} |")
    print("\n| job seconds | 1 core | 2 cores | 4 cores | 8 cores |\n|---|---|---|---|---|")
    times = " | ".join(f"{makespan(jobs, seconds, cores) / 60:.1f} min" for cores in (1, 2, 4, 8))
    print(f"| {sum(seconds.values()):.0f} | {times} |")


if __name__ == "__main__":
    main()
