"""What the Snakefile needs to know of a run: paths, gates, and what makes a rule run again.

Imports no torch: every `snakemake` call pays for this module.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from safe.digest import digest_code
from safe.errors import ConfigError, SafeError
from safe.files import translate_os_error, write_json
from safe.gates.criteria_check import check_criteria
from safe.gates.pipeline import PLAN, load_pipeline
from safe.gates.schema import CriteriaFile
from safe.pipeline.config import RunSettings, settings_digest
from safe.pipeline.definition import (
    Pipeline,
    built_experiments,
    experiment_package,
    load_definition,
    load_experiment,
    parse_run_config,
)
from safe.pipeline.experiment import Experiment, JobGroup, unpack

_LOCKS: list[FileLock] = []  # a lock that is collected is released


@dataclass(frozen=True)
class Run:
    """One run of the DAG."""

    config: RunSettings
    root: Path  # the folder of the Snakefile

    @property
    def folder(self) -> Path:
        return self.config.folder

    @cached_property
    def package(self) -> str:
        """The Python package of the pipeline."""
        return load_pipeline(self.config.criteria).package

    @cached_property
    def pipeline(self) -> Pipeline:
        """What that package gives the framework."""
        return load_definition(self.package)

    @property
    def job_threads(self) -> int:
        """Threads of a job, which runs beside others."""
        return self.config.job_threads or self.config.threads

    @cached_property
    def declared(self) -> dict[str, Experiment]:
        """Experiment name -> its declaration."""
        return {e: load_experiment(self.package, e) for e in self.experiments}

    def groups(self, experiment: str) -> list[JobGroup]:
        """The jobs of an experiment, by job."""
        plan = self.declared[experiment].jobs
        groups = [] if plan is None else list(plan(self.config))
        return groups if self.config.pack_jobs else unpack(groups)

    def results(self, experiment: str, jobs: Sequence[str]) -> list[str]:
        """The result of each job."""
        return [self.path(experiment, "jobs", job, "result.json") for job in jobs]

    def all_results(self, experiment: str) -> list[str]:
        """The result of every job of an experiment."""
        return [
            result
            for group in self.groups(experiment)
            for result in self.results(experiment, group.jobs)
        ]

    def measure_threads(self, experiment: str, cores: int) -> int:
        """Threads of `measure`: one, those of the run, or all `cores` of the machine."""
        declared = self.declared[experiment].cores
        return {"one": 1, "run": self.config.threads, "all": cores}[declared]

    @property
    def own_rules(self) -> list[str]:
        """The rules file of the pipeline, which makes its artifacts; there may be none."""
        file = self.root / "workflow" / "rules" / f"{self.config.pipeline}.smk"
        return [file.as_posix()] if file.is_file() else []

    def inputs(self, experiment: str) -> list[str]:
        """Paths of the artifacts that an experiment needs."""
        roles = self.declared[experiment].inputs
        return [self.pipeline.artifact(self.config, role).as_posix() for role in roles]

    @cached_property
    def criteria(self) -> dict[str, CriteriaFile]:
        """Experiment name -> its criteria, checked against what its module measures."""
        return {c.experiment: c for c in check_criteria(self.config.criteria)}

    @property
    def experiments(self) -> list[str]:
        """The experiments, by number."""
        return list(self.criteria)

    @property
    def required(self) -> list[str]:
        """The experiments that must be GO before launch."""
        return [e for e in self.experiments if not self.criteria[e].optional]

    @property
    def optional(self) -> list[str]:
        """Those that are decided and shown, and do not keep from launching."""
        return [e for e in self.experiments if self.criteria[e].optional]

    def path(self, *jobs: str) -> str:
        """A path below results/RUN."""
        return self.folder.joinpath(*jobs).as_posix()

    def go(self, experiment: str, made: str = "measurement.json") -> list[str]:
        """What opens the way to `experiment`: see `token`. Wrap it in `ancient()`."""
        needs = self.criteria[experiment].needs
        return [self.token(name, self.path(experiment, made)) for name in needs]

    def token(self, experiment: str, made: str) -> str:
        """The gate token of `experiment`, for a rule whose result is `made`.

        A NO-GO takes the token away, and a token that is made anew would have everything behind
        it made anew, `ancient()` or not. So what has its result already leans on the decision
        until the token is back. Nothing passes a closed gate by that: `safe` itself looks at the
        verdict before it measures or trains (`safe.pipeline.runner.check_upstream`).
        """
        go, decision = self.path(experiment, "GO"), self.path(experiment, "decision.json")
        waiting = Path(made).exists() and Path(decision).exists() and not Path(go).exists()
        return decision if waiting else go

    def parents(self, experiment: str) -> list[str]:
        """The measurements that `experiment` stands on.

        The token alone would not do: it must be ancient, so that judging again trains nothing
        again; a new upstream measurement, though, makes what was built on the old one stale.
        """
        return [self.path(name, "measurement.json") for name in self.criteria[experiment].needs]

    def settings(self, sections: Sequence[str]) -> str:
        """Digest of sections of the config.

        As one of a rule's params it makes the rule run again after an edit.
        """
        return settings_digest(self.config, sections)

    def code(self, experiment: str, module: str) -> str:
        """Digest of the code that a module of an experiment (`measure`, `jobs`) reaches.

        Snakemake does not see a change inside an imported package; this value shows it.
        """
        return self.code_of(f"{experiment_package(self.package, experiment)}.{module}")

    def code_of(self, module: str) -> str:
        """The same for any module."""
        return digest_code(module)

    def write_config(self) -> str:
        """Write results/RUN/config.json, touching it only when its content changes."""
        path = self.folder / "config.json"
        values = self.config.model_dump(mode="json")
        text_is_same = path.is_file() and _read_or_none(path) == values
        if not text_is_same:
            write_json(path, values)
        return path.as_posix()

    def power_line(self) -> str:
        """One line: how many criteria this run can decide, and which required ones it cannot.

        What keeps the line from being computed is part of it and does not stop the run.

        Raises:
            ConfigError: the run is at full scale, a required criterion cannot be decided by any
                outcome, and `allow_underpowered` is not set.
        """
        # Only the process that starts a run asks; every job would pay for the import.
        from safe.gates.planning import summary
        from safe.pipeline.power import power_report

        try:
            report = power_report(self.config)
        except SafeError as error:
            return f"power: not computed: {' '.join(str(error).split())}"
        command = f"safe power {shlex.quote(self.path('config.json'))}"
        config = self.config
        if config.scale == PLAN and report.undecidable and not config.allow_underpowered:
            named = "; ".join(f"{row.id}: {row.reason}" for row in report.undecidable)
            raise ConfigError(
                f"required criteria that a run of this size cannot decide: {named}",
                key="allow_underpowered",
                hint=f"plan more items or seeds (`{command}`), or set allow_underpowered: true",
            )
        return f"{summary(report.rows)}; see `{command}`"

    def hold(self) -> FileLock:
        """Lock the run for this process, until the process ends in any way.

        Snakemake's own lock remains after a process was killed. The operating system releases this
        one, so the next call continues without help (therefore the profiles set `nolock`).

        Returns:
            The lock.

        Raises:
            ConfigError: another process that is alive holds the run.
        """
        lock, holder = FileLock(self.folder / ".lock"), self.folder / ".lock.pid"
        with translate_os_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise ConfigError(
                    f"this run is already in progress, in process {holder.read_text().strip()}",
                    where=self.folder,
                    hint="wait for it, or use another name with `--config run=NAME`",
                ) from None
            holder.write_text(f"{os.getpid()}\n")
        _LOCKS.append(lock)
        return lock


def _read_or_none(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # an unreadable copy is written anew


def open_run(config: Mapping[str, Any], root: Path, where: str) -> Run:
    """Validate the config and the criteria before anything runs.

    Raises:
        ConfigError: naming file, key and hint.
    """
    run = Run(parse_run_config(dict(config), where), root)
    judged = {name[3:] for name in run.criteria}
    orphans = [name for name in built_experiments(run.package) if name not in judged]
    if orphans:
        raise ConfigError(
            f"experiments without criteria: {', '.join(orphans)}",
            where=run.config.criteria,
            hint="add the criteria file; an experiment that nothing judges proves nothing",
        )
    return run
