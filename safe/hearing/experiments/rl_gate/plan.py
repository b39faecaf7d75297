"""The jobs of experiment 12 and their settings. Used by the Snakefile; needs no torch."""

from __future__ import annotations

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, StageAConfig
from safe.hearing.experiments.rl_gate.config import PolicySettings
from safe.pipeline.experiment import JobGroup, pack

NESTED, SHORT, OUTCOMES = "nested", "short", "outcomes"


def trainings(config: RunConfig) -> list[str]:
    """`nested` trains with both lengths, `short` only with the short one; the pilot with the long.

    Raises:
        ConfigError: the short length is not shorter than the long one.
    """
    lengths(config)
    return [NESTED, SHORT]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """The trainings, then the outcomes of the trained adapters."""
    names = trainings(config)
    return [*pack(names, 1), JobGroup(OUTCOMES, (OUTCOMES,), after=tuple(names))]


def lengths(config: RunConfig) -> tuple[int, int]:
    """Return the short and the long number of audio tokens.

    Raises:
        ConfigError: the short length is not shorter than the long one.
    """
    short, long = PolicySettings.of(config).short_audio_tokens, config.adapter.audio_tokens
    if short >= long:
        raise ConfigError(
            f"the short length has {short} audio tokens, the adapter has {long}",
            key="policy.short_audio_tokens",
            hint="give fewer than adapter.audio_tokens",
        )
    return short, long


def settings(config: RunConfig) -> StageAConfig:
    """Training settings of both trainings."""
    own, rates = PolicySettings.of(config), config.stage_a
    return rates.model_copy(
        update={
            "steps": own.steps,
            "projector_lr": rates.projector_lr * own.lr_factor,
            "lora_lr": rates.lora_lr * own.lr_factor,
        }
    )
