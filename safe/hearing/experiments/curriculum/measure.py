"""08 Curriculum rehearsal: does the curriculum do what its configuration says?

The runs are jobs of their own (`jobs`); here their logs are held against what they
must say (`curriculum_script`), and the run that was killed against the one that was not.
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
from safe.hearing.experiments.curriculum.plan import PARTS
from safe.hearing.experiments.curriculum.script import (
    LOG,
    misdrawn,
    missing_lines,
    replay,
    script,
)
from safe.hearing.experiments.metric_builder import MetricBuilder, write_table
from safe.hearing.training.curriculum_log import read_log
from safe.pipeline.parts import read_part

BUILDER = MetricBuilder(METRICS)
SHOWN = 20


def measure(context: Context) -> list[Metric]:
    """Read the runs' results and logs."""
    results = {part: read_part(context, part)[1] for part in PARTS}
    crashed = {part: found["crashed"] for part, found in results.items() if found["crashed"]}
    no_crash = BUILDER.measured(
        "no_crash", len(crashed), len(results), detail={"crashed": crashed, "runs": list(PARTS)}
    )
    if crashed:
        why = "; ".join(f"{part} crashed: {text}" for part, text in crashed.items())
        return [no_crash, *(BUILDER.missing(n, why) for n in METRICS if n != "no_crash")]
    stages = {p: CurriculumConfig.model_validate(r["stages"]) for p, r in results.items()}
    read = {part: list(read_log(_log(context.folder, part))) for part in PARTS}
    lines = {
        part: [line for _, line in found if isinstance(line, dict)] for part, found in read.items()
    }
    _write_epochs(context, lines)
    plots.epochs(context, lines)
    return [
        no_crash,
        _transitions(stages, lines),
        _resume_identical(context, results),
        _logging(stages, results, read, lines),
    ]


def _log(folder: Path, part: str) -> Path:
    """`resumed` is the log of the run that it killed."""
    return folder / "parts" / ("killed" if part == "resumed" else part) / LOG


def _write_epochs(context: Context, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    table = [
        {"run": part, **line}
        for part, found in lines.items()
        for line in found
        if line["kind"] == "epoch"
    ]
    write_table(context, "epochs.parquet", table)


def _transitions(
    stages: Mapping[str, CurriculumConfig], lines: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Metric:
    wrong, seen = [], {}
    for part in PARTS:
        epochs = [line for line in lines[part] if line["kind"] == "epoch"]
        seen[part] = [(line["stage"], line["action"]) for line in epochs]
        for expected, found in zip_longest(script(part, stages[part]), seen[part]):
            if expected != found:
                wrong.append(f"{part}: {found}, not {expected}")
        wrong += [f"{part}: {text}" for text in replay(stages[part], epochs)]
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
        why = f"the run was over after {len(again['kills'])} of {wanted} kills"
        return BUILDER.missing("resume_identical", f"{why}; give it more rows")
    one, other = (
        _log(context.folder, part).read_bytes().splitlines() for part in ("normal", "resumed")
    )
    lines = sum(a != b for a, b in zip_longest(one, other))
    parts = [name for name in whole["digests"] if whole["digests"][name] != again["digests"][name]]
    return BUILDER.measured(
        "resume_identical",
        lines + len(parts),
        len(one),
        detail={
            "of": "lines of the log, and digests of adapter, optimizer and log",
            "lines_that_differ": lines,
            "digests_that_differ": parts,
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
    for part in PARTS:
        malformed = [f"line {n}: {found}" for n, found in read[part] if isinstance(found, str)]
        gaps = missing_lines(stages[part], lines[part], results[part]["epoch_steps"])
        drawn = misdrawn(stages[part], lines[part])
        wrong += [f"{part}: {text}" for text in (*malformed, *gaps, *drawn)]
    steps = sum(line["kind"] == "step" for found in lines.values() for line in found)
    return BUILDER.measured(
        "logging",
        len(wrong),
        sum(map(len, read.values())),
        detail={
            "of": "lines with a field missing or malformed, steps and epochs that are not there, "
            "batches that are not what their stage says",
            "wrong": wrong[:SHOWN],
            "steps": steps,
        },
    )
