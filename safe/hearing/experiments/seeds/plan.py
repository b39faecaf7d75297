"""The jobs of experiment 11: the combination that 10 selected, per seed. Needs no torch."""

from __future__ import annotations

import re

from safe.errors import ConfigError, EvidenceError
from safe.hearing.config import RunConfig, StageAConfig
from safe.hearing.context import Context
from safe.hearing.experiments.seeds.config import SeedsSettings
from safe.hearing.experiments.sweep.config import SweepSettings
from safe.hearing.experiments.sweep.plan import cells, settings
from safe.pipeline.experiment import JobGroup, pack

SWEEP = "10_sweep"
JOB = re.compile(r"seed_(\d+)")
ITEMS = "items.parquet"


def names(config: RunConfig) -> list[str]:
    """Job names, one per seed; the run's seed is first."""
    return [f"seed_{config.seed + number}" for number in range(SeedsSettings.of(config).count)]


def plan_jobs(config: RunConfig) -> list[JobGroup]:
    """One process per seed."""
    return pack(names(config), 1)


def seed_of(config: RunConfig, job: str) -> int:
    """The seed of a job.

    Raises:
        ConfigError: no such job.
    """
    found = JOB.fullmatch(job)
    if found is None or job not in names(config):
        raise ConfigError(f"no job {job!r}", hint=f"name one of {', '.join(names(config))}")
    return int(found[1])


def chosen(context: Context) -> tuple[str, StageAConfig]:
    """(name, training settings) of the combination that the sweep's criteria select.

    Raises:
        EvidenceError: the sweep was not judged, selects none, or swept another grid.
    """
    config = context.config
    name = context.upstream_selection(SWEEP, "selected")
    by_name = {cell.name: cell for cell in cells(SweepSettings.of(config))}
    if name not in by_name:
        raise EvidenceError(
            f"the sweep selects {name}, which is not in its grid",
            where=config.folder / SWEEP / "decision.json",
            hint="see `safe explain 10`, then measure it again",
        )
    steps = SeedsSettings.of(config).steps or config.stage_a.steps
    own = settings(config, by_name[name])
    whole = {"steps": steps, "rows": config.stage_a.rows, "batch_size": config.stage_a.batch_size}
    return name, own.model_copy(update=whole)
