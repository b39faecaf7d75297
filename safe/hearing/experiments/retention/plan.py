"""The jobs of experiment 09 and their settings. Used by the Snakefile; needs no torch.

`start` is a short Stage A. All other jobs continue from its adapter and differ only in their
retention method: `none`, `distilled`, `null_space`, `fisher` (unless its weight is 0), their
combinations (joined by `-`), and `lambda_0.5` and the like, distillation with other weights. They
do not start from a fresh adapter: its audio tokens are noise, which destroys the answers about
pictures before the first step.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

from safe.errors import ConfigError
from safe.hearing.config import RunConfig, StageAConfig
from safe.hearing.experiments.retention.config import RetentionSettings
from safe.pipeline.experiment import JobGroup, pack

MEANS = ("distilled", "null_space", "fisher")
START = "start"
LAMBDA = re.compile(r"lambda_(\d+(?:\.\d+)?(?:e-?\d+)?)")


def _means(config: RunConfig) -> list[str]:
    return [mean for mean in MEANS if mean != "fisher" or RetentionSettings.of(config).fisher > 0]


def variants(config: RunConfig) -> list[str]:
    """Every combination of the retention methods, starting with `none`."""
    means = _means(config)
    chosen = (c for size in range(len(means) + 1) for c in combinations(means, size))
    return ["-".join(c) or "none" for c in chosen]


def lambdas(config: RunConfig) -> dict[str, float]:
    """Job -> distillation weight, ascending; `distilled` uses the weight of `stage_a`."""
    weights = sorted({*RetentionSettings.of(config).weights, config.stage_a.distillation})
    return {
        "distilled" if w == config.stage_a.distillation else f"lambda_{w:g}": w for w in weights
    }


def names(config: RunConfig) -> list[str]:
    """All of the experiment's jobs except `start`."""
    return list(dict.fromkeys([*variants(config), *lambdas(config)]))


def dearest_first(config: RunConfig) -> list[str]:
    """Return `names`, most expensive first; null space counts twice, other methods once."""

    def cost(job: str) -> int:
        settings = plan(config, job)
        extra = (settings.null_space > 0) * 2 + (settings.fisher > 0) + (settings.distillation > 0)
        return (1 + extra) * len(seeds_of(config, job))

    return sorted(names(config), key=cost, reverse=True)


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """`start` first: all others continue from it, and use the cores that 10 leaves idle."""
    start = JobGroup(START, (START,), priority=2)
    return [start, *pack(dearest_first(config), 2, after=(START,))]


def seeds_of(config: RunConfig, job: str) -> list[int]:
    """Training seeds of a job; the first is the run's seed."""
    own = RetentionSettings.of(config)
    count = own.seeds
    if plan(config, job).distillation == 0:
        count = own.undistilled_seeds or count
    return [config.seed + number for number in range(count)]


def plan(config: RunConfig, job: str) -> StageAConfig:
    """Training settings of a job.

    Raises:
        ConfigError: no such job, or distillation is off in `stage_a`.
    """
    own: RetentionSettings = RetentionSettings.of(config)
    if job == START:
        return config.stage_a.model_copy(update={"steps": own.start_steps, "rows": own.rows})
    values: dict[str, Any] = {
        "steps": own.steps,
        "rows": own.rows,
        "batch_size": own.batch_size,
        "projector_lr": own.lr_factor * config.stage_a.projector_lr,
        "lora_lr": own.lr_factor * config.stage_a.lora_lr,
        "distillation": 0.0,
    }
    found = LAMBDA.fullmatch(job)
    means = job.split("-")
    if found:
        values["distillation"] = float(found[1])
    elif job != "none" and not set(means) <= set(_means(config)):
        raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(names(config))}")
    if "distilled" in means:
        if config.stage_a.distillation == 0:
            raise ConfigError(
                "there is no distillation to measure",
                key="stage_a.distillation",
                hint="give it a weight above 0; the job `none` trains without it anyway",
            )
        values["distillation"] = config.stage_a.distillation
    if "null_space" in means:
        values["null_space"] = own.null_space
    if "fisher" in means:
        values["fisher"] = own.fisher
    return config.stage_a.model_copy(update=values)
