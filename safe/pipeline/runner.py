"""Run measurements and jobs of experiments (`safe measure`, `safe run-job`)."""

from __future__ import annotations

import importlib
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import safe
from safe.digest import digest_code
from safe.errors import ConfigError, EvidenceError
from safe.files import write_json
from safe.gates.criteria import criteria_digest, load_criteria
from safe.gates.documents import read_decision
from safe.gates.history import write_measurement
from safe.gates.pipeline import load_pipeline
from safe.gates.records import digest_files, judge_again
from safe.gates.run import GateRun
from safe.gates.schema import Measurement, Parent
from safe.gates.status import decision_parent
from safe.pipeline.config import RunSettings, restrict, settings_digest
from safe.pipeline.definition import (
    experiment_package,
    load_definition,
    load_experiment,
)
from safe.pipeline.experiment import Experiment
from safe.pipeline.job_records import JobRecord, check_records, write_record
from safe.pipeline.job_results import RESULT

PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "scipy", "snakemake", "safe")


def environment(device: str) -> dict[str, Any]:
    """Return packages, host, device, git commit and dirty flag."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "packages": versions,
        "python": platform.python_version(),
        "host": platform.node(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "device": device,
        **_git_state(),
    }


def _git_state(package: Path = Path(safe.__file__).parent) -> dict[str, Any]:
    """Return commit and dirty flag of the checkout that the package is run from, or None.

    The working directory may be another repository, or the package may be installed.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
                cwd=package,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return {"git_commit": None, "git_dirty": None}
    status = git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if status is None else bool(status),
    }


def check_upstream(config: RunSettings, needs: Sequence[str]) -> dict[str, Parent]:
    """Return the decisions of the experiments in `needs`, which must all be GO.

    Their measurements are judged again instead of trusting the decisions.

    Raises:
        EvidenceError: a decision is missing, NO-GO, or does not follow from its measurement.
        ConfigError: criteria or waivers cannot be used.
    """
    folder = config.folder
    run = GateRun(folder, config.criteria, config.waivers, config.scale)
    found = {name: decision_parent(folder, name) for name in needs}
    for name, parent in found.items():
        if parent.verdict != "GO":
            raise EvidenceError(
                f"{name} is NO-GO; experiments that need it cannot run",
                where=folder / name / "decision.json",
                hint=f"`safe explain {name[:2]}` shows the criterion, its value and its bound",
            )
        path = folder / name / "decision.json"
        changed = judge_again(run, read_decision(path))
        if changed is not None:
            raise EvidenceError(
                f"{name}: {changed}", where=path, hint=f"judge again: safe judge {folder} {name}"
            )
    return found


def package_of(config: RunSettings) -> str:
    """Return the package of the run's pipeline."""
    return load_pipeline(config.criteria).package


def recorded_sections(declared: Experiment) -> list[str]:
    """Return all sections that an experiment and its jobs read, sorted."""
    return sorted({*declared.reads, *declared.job_reads})


def experiment_digest(config: RunSettings, experiment: str) -> str:
    """Digest of all sections that an experiment and its jobs read."""
    declared = load_experiment(package_of(config), experiment)
    return settings_digest(config, recorded_sections(declared))


def code_digests(package: str, experiment: str) -> dict[str, str]:
    """Return the digests of the code that measures an experiment and runs its jobs."""
    home = experiment_package(package, experiment)
    digests = {"code": digest_code(f"{home}.measure")}
    if load_experiment(package, experiment).jobs is not None:
        digests["code of jobs"] = digest_code(f"{home}.jobs")
    return digests


def input_files(config: RunSettings, experiment: str) -> dict[str, str]:
    """Return path -> digest of the artifacts that an experiment is given, as they are now.

    Artifacts that identify data and weights (`Pipeline.identity`) are always included.
    """
    package = package_of(config)
    pipeline = load_definition(package)
    roles = {*pipeline.identity, *load_experiment(package, experiment).inputs}
    places = [pipeline.artifact(config, role) for role in sorted(roles)]
    return digest_files(config.folder, [place for place in places if place.is_file()])


def job_record(config: RunSettings, experiment: str) -> JobRecord:
    """Return the record of a job that runs now, without its name and files."""
    package = package_of(config)
    return JobRecord(
        run=config.run,
        experiment=experiment,
        job="",
        seed=config.seed,
        code=code_digests(package, experiment)["code of jobs"],
        config=settings_digest(config, load_experiment(package, experiment).job_reads),
        inputs=input_files(config, experiment),
        environment=_git_state(),
    )


def check_jobs(config: RunSettings, experiment: str) -> list[JobRecord]:
    """Return the records of an experiment's finished jobs; see `check_records`."""
    plan = load_experiment(package_of(config), experiment).jobs
    if plan is None:
        return []
    jobs = [job for group in plan(config) for job in group.jobs]
    return check_records(config.folder, job_record(config, experiment), jobs)


def _git_states(records: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Return the distinct commits and dirty flags of jobs."""
    states = [record.environment for record in records]
    return [state for n, state in enumerate(states) if state not in states[:n]]


def run_experiment(config: RunSettings, experiment: str) -> Path:
    """Measure one experiment.

    Returns:
        The path of measurement.json, written atomically.

    Raises:
        ConfigError: no such experiment, or it reads a section that it does not declare.
    """
    criteria = load_criteria(config.criteria / f"{experiment}.yaml")
    package = package_of(config)
    pipeline, declared = load_definition(package), load_experiment(package, experiment)
    name = f"{experiment_package(package, experiment)}.measure"
    module = importlib.import_module(name)
    folder = config.folder / experiment
    folder.mkdir(parents=True, exist_ok=True)
    upstream = check_upstream(config, criteria.needs)
    jobs = check_jobs(config, experiment)
    inputs = input_files(config, experiment)
    sections = (*declared.reads, *pipeline.shared)
    context = pipeline.context(config=restrict(config, sections, experiment), folder=folder)
    started, clock = datetime.now(UTC), time.perf_counter()
    metrics = module.measure(context)
    measurement = Measurement(
        experiment=experiment,
        run=config.run,
        metrics=metrics,
        candidates=context.candidates,
        digests={
            **code_digests(package, experiment),
            "config": experiment_digest(config, experiment),
            "criteria": criteria_digest(criteria),
            **context.digests,
        },
        files=inputs | digest_files(config.folder, [folder]),
        sections=recorded_sections(declared),
        upstream={
            name: parent.model_copy(update={"selected": context.upstream_selected.get(name, {})})
            for name, parent in upstream.items()
        },
        environment=environment(context.extra.get("device", "cpu"))
        | ({"jobs": _git_states(jobs)} if jobs else {}),
        seeds={"run": config.seed, **context.extra.get("seeds", {})},
        started=started.isoformat(timespec="seconds"),
        duration_s=round(time.perf_counter() - clock, 3),
        device_s=round(context.device_seconds, 3),
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        plots=context.plots,
        evidence=context.evidence,
    )
    return write_measurement(config.folder, measurement)


def run_job(config: RunSettings, experiment: str, job: str) -> Path:
    """Run one job; see `run_jobs`."""
    return run_jobs(config, experiment, [job])[0]


def run_jobs(config: RunSettings, experiment: str, jobs: Sequence[str]) -> list[Path]:
    """Run jobs of an experiment, such as cells of an ablation, one after the other.

    Shared state is created once, by `prepare` of the experiment's module `jobs`. Checkpoints are
    deleted after all jobs have finished, so an interrupted call resumes from them. Call
    `check_upstream` first.

    Returns:
        The paths NN_name/jobs/JOB/result.json, each written atomically.

    Raises:
        ConfigError: the experiment has no such job, or reads a section that it does not declare.
    """
    for job in jobs:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", job):
            raise ConfigError(f"{job!r} is not a job name", hint="use letters, digits, `._-`")
    package = package_of(config)
    pipeline, declared = load_definition(package), load_experiment(package, experiment)
    if declared.jobs is None:
        raise ConfigError(f"experiment {experiment!r} has no jobs", hint="see `safe measure`")
    module = importlib.import_module(f"{experiment_package(package, experiment)}.jobs")
    folder = config.folder / experiment
    record = job_record(config, experiment)
    seen = restrict(config, (*declared.job_reads, *pipeline.shared), f"a job of {experiment}")
    shared = module.prepare(pipeline.context(config=seen, folder=folder), jobs)
    written = []
    for job in jobs:
        own = folder / "jobs" / job
        own.mkdir(parents=True, exist_ok=True)
        context = pipeline.context(config=seen, folder=own, experiment=experiment)
        result = module.run(context, job, shared)
        written.append(own / RESULT)
        write_json(written[-1], result)
    for path in written:
        for checkpoint in path.parent.glob("*.pt"):
            checkpoint.unlink()
        write_record(config.folder, record.model_copy(update={"job": path.parent.name}))
    return written
