"""08 Curriculum rehearsal: does the curriculum do what its configuration says?

Each run is a job (`jobs.py`). This module compares their logs with the expected content
(`script.py`), and the run that was killed with the one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from safe.gates.schema import Metric
from safe.hearing.config import CurriculumConfig
from safe.hearing.context import Context
from safe.hearing.experiments.curriculum import METRICS, plots
from safe.hearing.experiments.curriculum.plan import JOBS
from safe.hearing.experiments.curriculum.script import (
    LOG,
    misdrawn,
    missing_lines,
    replay,
    script,
)
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.training.curriculum_log import read_log
from safe.pipeline.job_results import read_job

BUILDER = MetricBuilder(METRICS)
SHOWN = 20


def measure(context: Context) -> list[Metric]:
    """Evaluate the results and logs of all runs."""
    results = {job: read_job(context, job)[1] for job in JOBS}
    crashed = {job: found["crashed"] for job, found in results.items() if found["crashed"]}
    no_crash = BUILDER.measured(
        "no_crash", len(crashed), len(results), detail={"crashed": crashed, "runs": list(JOBS)}
    )
    if crashed:
        why = "; ".join(f"{job} crashed: {text}" for job, text in crashed.items())
        return [no_crash, *(BUILDER.missing(n, why) for n in METRICS if n != "no_crash")]
    stages = {p: CurriculumConfig.model_validate(r["stages"]) for p, r in results.items()}
    read = {job: list(read_log(_log(context.folder, job))) for job in JOBS}
    lines = {
        job: [line for _, line in found if isinstance(line, dict)] for job, found in read.items()
    }
    _write_epochs(context, lines)
    plots.epochs(context, lines)
    return [
        no_crash,
        _transitions(stages, lines),
        _resume_identical(context, results),
        _logging(stages, results, read, lines),
    ]


def _log(folder: Path, job: str) -> Path:
    """Path of the log of a job; `resumed` uses the log of `killed`."""
    return folder / "jobs" / ("killed" if job == "resumed" else job) / LOG


def _write_epochs(context: Context, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    table = [
        {"run": job, **line}
        for job, found in lines.items()
        for line in found
        if line["kind"] == "epoch"
    ]
    write_table(context, "epochs.parquet", table)


def _transitions(
    stages: Mapping[str, CurriculumConfig], lines: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Metric:
    wrong, seen = [], {}
    for job in JOBS:
        epochs = [line for line in lines[job] if line["kind"] == "epoch"]
        seen[job] = [(line["stage"], line["action"]) for line in epochs]
        for expected, found in zip_longest(script(job, stages[job]), seen[job]):
            if expected != found:
                wrong.append(f"{job}: {found}, not {expected}")
        wrong += [f"{job}: {text}" for text in replay(stages[job], epochs)]
    return BUILDER.measured(
        "transitions",
        len(wrong),
        sum(map(len, seen.values())),
        per_item="epochs.parquet",
        detail={"wrong": wrong[:SHOWN], "transitions": seen},
    )


def _resume_identical(context: Context, results: Mapping[str, Mapping[str, Any]]) -> Metric:
    whole, again = results["normal"], results["resumed"]
    wanted = context.config.curriculum.rehearsal.kills
    if len(again["kills"]) < wanted:
        why = f"the run ended after {len(again['kills'])} of {wanted} kills"
        return BUILDER.missing("resume_identical", f"{why}; increase curriculum.rehearsal.rows")
    one, other = (
        _log(context.folder, job).read_bytes().splitlines() for job in ("normal", "resumed")
    )
    lines = sum(a != b for a, b in zip_longest(one, other))
    jobs = [name for name in whole["digests"] if whole["digests"][name] != again["digests"][name]]
    return BUILDER.measured(
        "resume_identical",
        lines + len(jobs),
        len(one),
        detail={
            "of": "lines of the log, and digests of adapter, optimizer and log",
            "lines_that_differ": lines,
            "digests_that_differ": jobs,
            "killed_after_lines": again["kills"],
            "resumed_at_step": again["resumed_at"],
            "digests": whole["digests"],
        },
    )


def _logging(
    stages: Mapping[str, CurriculumConfig],
    results: Mapping[str, Mapping[str, Any]],
    read: Mapping[str, Sequence[tuple[int, dict[str, Any] | str]]],
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Metric:
    wrong = []
    for job in JOBS:
        malformed = [f"line {n}: {found}" for n, found in read[job] if isinstance(found, str)]
        gaps = missing_lines(stages[job], lines[job], results[job]["epoch_steps"])
        drawn = misdrawn(stages[job], lines[job])
        wrong += [f"{job}: {text}" for text in (*malformed, *gaps, *drawn)]
    steps = sum(line["kind"] == "step" for found in lines.values() for line in found)
    return BUILDER.measured(
        "logging",
        len(wrong),
        sum(map(len, read.values())),
        detail={
            "of": "lines with a missing or malformed field, missing steps and epochs, "
            "batches that do not match their stage",
            "wrong": wrong[:SHOWN],
            "steps": steps,
        },
    )
