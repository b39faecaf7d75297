"""The jobs of experiment 04 and their settings. Used by the Snakefile; needs no torch."""

from __future__ import annotations

import re

from safe.errors import ConfigError
from safe.hearing.config import AdapterConfig, RunConfig, StageAConfig
from safe.hearing.experiments.stage_a_pilot.config import PilotSettings
from safe.pipeline.experiment import JobGroup, pack

ARMS = ("distilled", "undistilled")


def cells(config: RunConfig) -> list[str]:
    """Names of the ablation cells."""
    return [
        f"k{k}_r{rank}"
        for k in PilotSettings.of(config).audio_tokens
        for rank in PilotSettings.of(config).ranks
    ]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """The two arms take longest and start first; then the cells."""
    arms = [JobGroup(arm, (arm,), priority=1) for arm in ARMS]
    return arms + pack(cells(config), 5, prefix="ablation_")


def plan(config: RunConfig, job: str) -> tuple[AdapterConfig, StageAConfig]:
    """Adapter and training settings of a job.

    Raises:
        ConfigError: no such job.
    """
    adapter, settings = config.adapter, config.stage_a
    if job == "distilled":
        if settings.distillation == 0:
            raise ConfigError(
                "the pilot's distilled arm has no distillation",
                key="stage_a.distillation",
                hint="give it a weight above 0; `undistilled` trains without it anyway",
            )
        return adapter, settings
    if job == "undistilled":
        return adapter, settings.model_copy(update={"distillation": 0.0})
    cell = re.fullmatch(r"k(\d+)_r(\d+)", job)
    if cell is None:
        raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(ARMS)}, or k4_r8")
    k, rank = int(cell[1]), int(cell[2])
    # alpha / rank, the scale of the update, is the same in every cell
    alpha = max(1, round(rank * adapter.lora.alpha / adapter.lora.rank))
    lora = adapter.lora.model_copy(update={"rank": rank, "alpha": alpha})
    return (
        adapter.model_copy(update={"audio_tokens": k, "lora": lora}),
        settings.model_copy(update={"steps": PilotSettings.of(config).ablation_steps}),
    )
