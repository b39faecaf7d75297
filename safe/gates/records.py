"""Verify that a measurement belongs to its run, and that nothing behind it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path, PurePosixPath

from safe.digest import digest_code, digest_file, digest_json
from safe.gates.criteria import load_criteria
from safe.gates.documents import read_measurement
from safe.gates.history import FILE, measured_last, read_history
from safe.gates.judge import judge
from safe.gates.recompute import contradiction
from safe.gates.run import GateRun, difference, read_config
from safe.gates.schema import Decision, Measurement, evidence_digest
from safe.gates.waivers import load_waivers

# In the folder of an experiment: written after its measurement, or no evidence.
SKIPPED = frozenset({"measurement.json", "decision.json", "GO", "plots", "tracking"})


def digest_files(root: Path, places: Iterable[Path]) -> dict[str, str]:
    """Return path -> SHA-256 of files, and of all files below folders, sorted by path.

    Args:
        root: folder that the paths are relative to; places outside it are left out.
    """
    found = {}
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_relative_to(root) and _is_evidence(path, place):
                found[path.relative_to(root).as_posix()] = digest_file(path)
    return dict(sorted(found.items()))


def _is_evidence(path: Path, place: Path) -> bool:
    parts = path.relative_to(place).parts
    hidden = any(part.startswith(".") for part in parts)  # such as unfinished files
    return path.is_file() and not hidden and SKIPPED.isdisjoint(parts)


def changed_file(root: Path, files: Mapping[str, str]) -> str | None:
    """Return what happened to the first file whose digest differs from the recorded one, or None.

    Args:
        files: path relative to `root` -> digest, as from `digest_files`.
    """
    for name, digest in files.items():
        path = root / name
        if ".." in PurePosixPath(name).parts or not path.resolve().is_relative_to(root.resolve()):
            return f"{name} is outside the run's folder"
        if not path.is_file():
            return f"{name} is missing"
        if digest_file(path) != digest:
            return f"{name} has changed"
    return None


def foreign(run: GateRun, experiment: str, measurement: Measurement) -> str | None:
    """Return why a measurement is not the one that was made in this run, or None.

    Raises:
        EvidenceError: the history was edited.
    """
    if measurement.experiment != experiment:
        return f"it is a measurement of {measurement.experiment}"
    if measurement.run != run.folder.name:
        return f"it is a measurement of the run {measurement.run!r}"
    recorded = measured_last(read_history(run.folder), experiment)
    if recorded is None:
        return f"{FILE} has no record of this measurement"
    if recorded != evidence_digest(measurement):
        return f"it differs from the record in {FILE}: it was edited after it was measured"
    return None


def outdated(run: GateRun, measurement: Measurement) -> str | None:
    """Return what has changed since a measurement: its files, settings or code, or None.

    Raises:
        EvidenceError: the run's config.json cannot be read.
        ConfigError: the pipeline cannot be read.
    """
    changed = changed_file(run.folder, measurement.files)
    if changed is not None:
        return f"{changed} since it was measured"
    if _settings(run.folder, measurement) != measurement.digests.get("config"):
        return "its settings have changed since it was measured"
    for role, digest in _code(run, measurement).items():
        if measurement.digests.get(role) != digest:
            return f"its {role} has changed since it was measured"
    return None


def verify(run: GateRun, experiment: str, measurement: Measurement) -> str | None:
    """Return why a measurement cannot be used, or None; see `foreign` and `outdated`.

    Raises:
        EvidenceError: history, config.json or a table cannot be read.
        ConfigError: the pipeline cannot be read.
    """
    return (
        foreign(run, experiment, measurement)
        or outdated(run, measurement)
        or contradiction(run.folder / experiment, measurement)
    )


def _settings(folder: Path, measurement: Measurement) -> str | None:
    """Digest of the measurement's sections in config.json; see `settings_digest`."""
    if not measurement.sections:
        return measurement.digests.get("config")
    values = read_config(folder)
    return digest_json({name: values.get(name) for name in measurement.sections})


def _code(run: GateRun, measurement: Measurement) -> dict[str, str]:
    """Digests of the code that measures an experiment and runs its jobs, by role."""
    modules = {"code": "measure", "code of jobs": "jobs"}
    recorded = [role for role in modules if role in measurement.digests]
    if not recorded:
        return {}
    package = f"{run.pipeline().package}.experiments.{measurement.experiment[3:]}"
    return {role: digest_code(f"{package}.{modules[role]}") for role in recorded}


def judge_again(run: GateRun, decision: Decision, today: date | None = None) -> str | None:
    """Return why a recorded decision does not follow from measurement and criteria, or None.

    Raises:
        EvidenceError: the measurement or the history is missing or broken.
        ConfigError: criteria or waivers cannot be used.
    """
    experiment = decision.experiment
    criteria = load_criteria(run.criteria / f"{experiment}.yaml")
    measurement = read_measurement(run.folder / experiment / "measurement.json")
    again = judge(measurement, criteria, load_waivers(run.waivers), run.scale, today=today)
    return verify(run, experiment, measurement) or difference(decision, again)
