"""The jobs of experiment 12, and what they train. No torch: the Snakefile asks it."""

from __future__ import annotations

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, StageAConfig
from safe.pipeline.experiment import JobGroup, pack

NESTED, SHORT, OUTCOMES = "nested", "short", "outcomes"


def trainings(config: RunConfig) -> list[str]:
    """`nested` learns to be heard short or long, `short` only short; the pilot only long.

    Raises:
        ConfigError: a short listening is none.
    """
    lengths(config)
    return [NESTED, SHORT]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """The trainings, and the outcomes of what they trained."""
    names = trainings(config)
    return [*pack(names, 1), JobGroup(OUTCOMES, (OUTCOMES,), after=tuple(names))]


def lengths(config: RunConfig) -> tuple[int, int]:
    """Audio tokens of a short and of a long listening.

    Raises:
        ConfigError: the short one is no shorter.
    """
    short, long = config.policy.short_audio_tokens, config.adapter.audio_tokens
    if short >= long:
        raise ConfigError(
            f"a short listening takes {short} audio tokens, all there are is {long}",
            key="policy.short_audio_tokens",
            hint="give fewer than adapter.audio_tokens",
        )
    return short, long


def settings(config: RunConfig) -> StageAConfig:
    """Training settings of both."""
    own, rates = config.policy, config.stage_a
    return rates.model_copy(
        update={
            "steps": own.steps,
            "projector_lr": rates.projector_lr * own.lr_factor,
            "lora_lr": rates.lora_lr * own.lr_factor,
        }
    )
