"""Expected content of a curriculum's log: transitions, lines, and the examples of every batch.

This is an independent implementation of the curriculum's description. It does not use the state
machine or the sampler, so that their errors are detected. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safe.hearing.config import CurriculumConfig, StageConfig

ROUNDING = 1e-9  # tolerance: 0.3 * 50 must equal 15
LOG, PLAN = "log.jsonl", "plan.json"  # written during the run
LEAST = 0.1  # minimum share of audio and of VL examples after adaptation


def script(job: str, config: CurriculumConfig) -> list[tuple[str, str]]:
    """Expected (stage, action) at the end of every epoch of a job of experiment 08."""
    names = [stage.name for stage in config.stages]
    if job != "extension":
        return [*((name, "advance") for name in names[:-1]), (names[-1], "finish")]
    if len(names) == 1:
        return [(names[0], "extend"), (names[0], "finish")]
    again = [(names[1], "extend")] * config.max_extensions
    return [(names[0], "extend"), (names[0], "advance"), *again, (names[1], "stop")]


def holds(stage: StageConfig, line: Mapping[str, Any], samples: int) -> bool:
    """Whether all criteria of a stage are met at the end of an epoch."""
    return bool(
        line["audio_accuracy"] >= stage.min_audio_accuracy
        and line["vl_drop"] <= stage.max_vl_drop
        and line["skip_rate"] >= stage.min_skip_rate
        and samples >= stage.min_samples
    )


def replay(config: CurriculumConfig, epochs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Actions and ratios that contradict the numbers in the log, for one-epoch stages."""
    stages = {stage.name: stage for stage in config.stages}
    wrong, samples, extended, ratio = [], 0, 0, None
    for place, line in enumerate(epochs):
        stage = stages.get(line["stage"])
        if stage is None:
            wrong.append(f"epoch {place}: no stage {line['stage']!r}")
            continue
        if place == 0 or epochs[place - 1]["stage"] != stage.name:
            samples, extended, ratio = 0, 0, stage.audio_ratio
        samples += line["samples"]
        last = stage.name == config.stages[-1].name
        if holds(stage, line, samples):
            expected = "finish" if last else "advance"
        else:
            expected = "extend" if extended < config.max_extensions else "stop"
        if line["action"] != expected:
            wrong.append(f"{stage.name}, epoch {line['epoch']}: {line['action']}, not {expected}")
        if abs(line["audio_ratio"] - ratio) > ROUNDING:
            wrong.append(f"{stage.name}, epoch {line['epoch']}: ratio {line['audio_ratio']}")
        if expected == "extend":
            extended += 1
            deaf = line["audio_accuracy"] < stage.min_audio_accuracy
            forgets = line["vl_drop"] > stage.max_vl_drop
            moved = ratio + config.ratio_step * (deaf - forgets)
            low, high = min(LEAST, stage.audio_ratio), max(1 - LEAST, stage.audio_ratio)
            ratio = min(max(moved, low), high)
    return wrong


def missing_lines(
    config: CurriculumConfig, lines: Sequence[Mapping[str, Any]], epoch_steps: Sequence[int]
) -> list[str]:
    """Steps and epochs that are missing, duplicated or out of order in the log."""
    length = dict(zip((s.name for s in config.stages), epoch_steps, strict=True))
    wrong, step, in_epoch = [], 0, 0
    for line in lines:
        if line["kind"] == "step":
            if line["step"] != step:
                wrong.append(f"step {line['step']}, expected {step}")
            step, in_epoch = line["step"] + 1, in_epoch + 1
            continue
        due = length.get(line["stage"])
        if in_epoch != due or line["step"] != step:
            wrong.append(f"{line['stage']}, epoch {line['epoch']}: {in_epoch} of {due} steps")
        in_epoch = 0
    if in_epoch:
        wrong.append(f"{in_epoch} steps after the last epoch")
    return wrong


def misdrawn(config: CurriculumConfig, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Steps with a wrong batch for their stage: size, difficulties, share of audio examples."""
    stages = {stage.name: stage for stage in config.stages}
    ratios = {
        (line["stage"], line["epoch"]): line["audio_ratio"]
        for line in lines
        if line["kind"] == "epoch"
    }
    wrong = []
    for line in lines:
        if line["kind"] != "step":
            continue
        stage = stages[line["stage"]]
        size = max(1, round(config.batch_size * stage.batch_factor))
        outside = sum(n for d, n in line["difficulties"].items() if d not in stage.difficulties)
        wanted = ratios.get((line["stage"], line["epoch"]), stage.audio_ratio) * size
        off = abs(line["audio_rows"] - wanted)
        if line["rows"] != size or outside or off >= 1 - ROUNDING:
            wrong.append(
                f"step {line['step']}: {line['rows']} rows, {line['audio_rows']} of them with "
                f"sound, {outside} of another difficulty"
            )
    return wrong
