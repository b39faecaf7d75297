"""The run for the Snakefile: paths, gates, and the digests that trigger rules.

Does not import torch, because every `snakemake` call imports this module.
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
        """Python package of the pipeline."""
        return load_pipeline(self.config.criteria).package

    @cached_property
    def pipeline(self) -> Pipeline:
        """Definition of the pipeline."""
        return load_definition(self.package)

    @property
    def job_threads(self) -> int:
        """Number of threads of a job, which runs in parallel with others."""
        return self.config.job_threads or self.config.threads

    @cached_property
    def declared(self) -> dict[str, Experiment]:
        """Experiment name -> its declaration."""
        return {e: load_experiment(self.package, e) for e in self.experiments}

    def groups(self, experiment: str) -> list[JobGroup]:
        """Return the groups of jobs of an experiment; without `pack_jobs`, one job per group."""
        plan = self.declared[experiment].jobs
        groups = [] if plan is None else list(plan(self.config))
        return groups if self.config.pack_jobs else unpack(groups)

    def results(self, experiment: str, jobs: Sequence[str]) -> list[str]:
        """Return the path of each job's result."""
        return [self.path(experiment, "jobs", job, "result.json") for job in jobs]

    def all_results(self, experiment: str) -> list[str]:
        """Return the paths of all job results of an experiment."""
        return [
            result
            for group in self.groups(experiment)
            for result in self.results(experiment, group.jobs)
        ]

    def measure_threads(self, experiment: str, cores: int) -> int:
        """Return the threads of `measure`: one, `threads` of the run, or all `cores`."""
        declared = self.declared[experiment].cores
        return {"one": 1, "run": self.config.threads, "all": cores}[declared]

    @property
    def own_rules(self) -> list[str]:
        """Rules file of the pipeline, which creates its artifacts; empty if there is none."""
        file = self.root / "workflow" / "rules" / f"{self.config.pipeline}.smk"
        return [file.as_posix()] if file.is_file() else []

    def inputs(self, experiment: str) -> list[str]:
        """Return the paths of the artifacts that an experiment needs."""
        roles = self.declared[experiment].inputs
        return [self.pipeline.artifact(self.config, role).as_posix() for role in roles]

    @cached_property
    def criteria(self) -> dict[str, CriteriaFile]:
        """Experiment name -> its criteria, checked against the metrics of its module."""
        return {c.experiment: c for c in check_criteria(self.config.criteria)}

    @property
    def experiments(self) -> list[str]:
        """All experiments, sorted by number."""
        return list(self.criteria)

    @property
    def required(self) -> list[str]:
        """Experiments that must be GO before launch."""
        return [e for e in self.experiments if not self.criteria[e].optional]

    @property
    def optional(self) -> list[str]:
        """Experiments that do not block the launch."""
        return [e for e in self.experiments if self.criteria[e].optional]

    def path(self, *parts: str) -> str:
        """Return a path below results/RUN."""
        return self.folder.joinpath(*parts).as_posix()

    def go(self, experiment: str, output: str = "measurement.json") -> list[str]:
        """Return the tokens that `experiment` needs; see `token`. Wrap them in `ancient()`."""
        needs = self.criteria[experiment].needs
        return [self.token(name, self.path(experiment, output)) for name in needs]

    def token(self, experiment: str, output: str) -> str:
        """Return the gate token of `experiment`, as input of a rule that creates `output`.

        A NO-GO deletes the token. Creating it again would rerun all downstream rules, even with
        `ancient()`. A rule whose output exists therefore depends on the decision until the token
        exists again. This bypasses no gate: `safe` checks the verdict before it measures or trains
        (`safe.pipeline.runner.check_upstream`).
        """
        go, decision = self.path(experiment, "GO"), self.path(experiment, "decision.json")
        waiting = Path(output).exists() and Path(decision).exists() and not Path(go).exists()
        return decision if waiting else go

    def parents(self, experiment: str) -> list[str]:
        """Return the measurements of the experiments that `experiment` needs.

        Tokens are `ancient()`, so judging again reruns nothing. A new upstream measurement must
        rerun this experiment, so it is an additional input.
        """
        return [self.path(name, "measurement.json") for name in self.criteria[experiment].needs]

    def settings(self, sections: Sequence[str]) -> str:
        """Return the digest of sections of the config; as a rule's param it triggers the rule."""
        return settings_digest(self.config, sections)

    def code(self, experiment: str, module: str) -> str:
        """Return the digest of the code that an experiment's module (`measure`, `jobs`) imports.

        Snakemake does not detect changes in an imported package.
        """
        return self.code_of(f"{experiment_package(self.package, experiment)}.{module}")

    def code_of(self, module: str) -> str:
        """Return the digest of the code that a module imports."""
        return digest_code(module)

    def write_config(self) -> str:
        """Write results/RUN/config.json if its content changes, and return its path."""
        path = self.folder / "config.json"
        values = self.config.model_dump(mode="json")
        unchanged = path.is_file() and _read_or_none(path) == values
        if not unchanged:
            write_json(path, values)
        return path.as_posix()

    def power_line(self) -> str:
        """Return one line about the criteria that this run can and cannot decide.

        If the power cannot be computed, the line states the error; the run is not stopped.

        Raises:
            ConfigError: the run is at full scale, a required criterion cannot be decided by any
                outcome, and `allow_underpowered` is not set.
        """
        # Imported here, because only the process that starts a run needs it.
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
                f"a run of this size cannot decide required criteria: {named}",
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
        return None  # an unreadable file is written again


def _run_name(value: Any, arguments: Sequence[str]) -> Any:
    """Return the run's name as it was typed.

    Snakemake reads `--config run=2024_01` as the number 202401, and YAML does the same.

    Raises:
        ConfigError: the name is a number in a file, where it cannot be told what was typed.
    """
    if value is None or isinstance(value, str):
        return value
    typed = [text for text in arguments if text.startswith("run=")]
    if typed:
        return typed[-1].removeprefix("run=")
    raise ConfigError(
        f"the run's name is read as {value!r}, not as text",
        key="run",
        hint="quote it in the file, e.g. run: '2024_01'",
    )


def open_run(
    config: Mapping[str, Any], root: Path, where: str, arguments: Sequence[str] = ()
) -> Run:
    """Validate config and criteria, and return the run.

    Args:
        config: the merged config of Snakemake.
        root: the folder of the Snakefile.
        where: the config files, for errors.
        arguments: the command line, in which `--config run=NAME` is text.

    Raises:
        ConfigError: config or criteria are invalid; names file, key and hint.
    """
    values = dict(config)
    if "run" in values:
        values["run"] = _run_name(values["run"], arguments)
    run = Run(parse_run_config(values, where), root)
    judged = {name[3:] for name in run.criteria}
    orphans = [name for name in built_experiments(run.package) if name not in judged]
    if orphans:
        raise ConfigError(
            f"experiments without criteria: {', '.join(orphans)}",
            where=run.config.criteria,
            hint="add a criteria file for each of them",
        )
    return run
