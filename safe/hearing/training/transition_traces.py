"""Scripted traces of evaluations and their expected transitions; checked by experiment 01.

The values of a script are relative to the thresholds of the stages in the run's config.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from safe.hearing.config import CurriculumConfig, StageConfig
from safe.hearing.training.curriculum import Action, Curriculum, EpochMetrics

MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class Check:
    """One transition of a script: expected and actual action."""

    script: str
    stage: str
    epoch: int
    expected: Action
    found: str

    @property
    def wrong(self) -> bool:
        return self.expected != self.found


def _at_bound(stage: StageConfig) -> EpochMetrics:
    return EpochMetrics(
        stage.min_audio_accuracy, stage.max_vl_drop, max(1, stage.min_samples), stage.min_skip_rate
    )


def _low_audio_accuracy(stage: StageConfig) -> EpochMetrics:
    samples = max(1, stage.min_samples)
    return EpochMetrics(stage.min_audio_accuracy - MARGIN, stage.max_vl_drop, samples)


def _high_vl_drop(stage: StageConfig) -> EpochMetrics:
    samples = max(1, stage.min_samples)
    return EpochMetrics(stage.min_audio_accuracy, stage.max_vl_drop + MARGIN, samples)


def _perfect(stage: StageConfig) -> EpochMetrics:
    return EpochMetrics(1.0, min(0.0, stage.max_vl_drop), max(1, stage.min_samples))


Step = tuple[Callable[[StageConfig], EpochMetrics], Action]


def _scripts(stage: StageConfig, config: CurriculumConfig, last: bool) -> dict[str, list[Step]]:
    """Return name -> steps of a script for one stage; each script ends with leaving the stage."""
    leave: Action = "finish" if last else "advance"
    waiting: list[Step] = [(_at_bound, "continue")] * (stage.epochs - 1)
    scripts: dict[str, list[Step]] = {"normal": [*waiting, (_at_bound, leave)]}
    extended: list[Step] = [(_low_audio_accuracy, "extend")] * config.max_extensions
    scripts["extension, audio"] = [*waiting, *extended, (_at_bound, leave)]
    forgotten: list[Step] = [(_high_vl_drop, "extend")] * config.max_extensions
    scripts["extension, VL drop"] = [*waiting, *forgotten, (_at_bound, leave)]
    early = config.early_epochs
    if early < stage.epochs:
        patience: list[Step] = [(_perfect, "continue")] * (early - 1)
        scripts["early"] = [*patience, (_perfect, "finish" if last else "advance_early")]
    else:
        held: list[Step] = [(_perfect, "continue")] * (stage.epochs - 1)
        scripts["early"] = [*held, (_perfect, leave)]
    return scripts


def rehearse(
    config: CurriculumConfig, machine_type: Callable[[CurriculumConfig], Curriculum] = Curriculum
) -> list[Check]:
    """Run every script through the state machine; return one check per transition.

    Args:
        machine_type: state machine to check (tests pass a faulty one).
    """
    checks: list[Check] = []
    count = len(config.stages)
    names = list(_scripts(config.stages[0], config, count == 1))
    for name in names:
        machine = machine_type(config)
        for place, stage in enumerate(config.stages):
            steps = _scripts(stage, config, place == count - 1)[name]
            checks += _follow(machine, stage, steps, name)
    # Exceed the limit of extensions at every stage, after normal progress up to it.
    for stop, stage in enumerate(config.stages):
        machine = machine_type(config)
        for place in range(stop):
            steps = _scripts(config.stages[place], config, False)["normal"]
            checks += _follow(machine, config.stages[place], steps, "limit")
        held: list[Step] = [(_at_bound, "continue")] * (stage.epochs - 1)
        extended: list[Step] = [(_low_audio_accuracy, "extend")] * config.max_extensions
        last: list[Step] = [*held, *extended, (_low_audio_accuracy, "stop")]
        checks += _follow(machine, stage, last, "limit")
    return checks


def _follow(machine: Curriculum, stage: StageConfig, steps: list[Step], name: str) -> list[Check]:
    checks = []
    for epoch, (metrics, expected) in enumerate(steps, start=1):
        found: str = "ended"
        if not machine.ended:
            where = machine.stage.name
            found = machine.observe(metrics(stage)).action
            # A machine in another stage than the script is always wrong.
            found = found if where == stage.name else f"{found} in {where}"
        checks.append(Check(name, stage.name, epoch, expected, found))
    return checks
