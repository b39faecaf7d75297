"""`safe power`: criteria that a run of the planned size can decide."""

from __future__ import annotations

from pathlib import Path

from safe.errors import ConfigError
from safe.gates.criteria_check import check_criteria
from safe.gates.pipeline import load_pipeline
from safe.gates.planning import PowerReport, assess_all, read_last
from safe.pipeline.config import RunSettings
from safe.pipeline.definition import load_definition


def power_report(config: RunSettings, run: Path | None = None) -> PowerReport:
    """Compute the power of every criterion of a run.

    Args:
        run: folder of an earlier run; by default the run's own folder, if it exists.

    Raises:
        ConfigError: the criteria cannot be read, or `run` is not a folder.
        EvidenceError: a measurement of the earlier run cannot be read.
        DataError: the run's manifest cannot be read.
    """
    if run is not None and not run.is_dir():
        raise ConfigError("no such run", where=run, hint="name a folder such as results/default")
    files = check_criteria(config.criteria)
    folder = run or config.folder
    last = read_last(folder, [f.experiment for f in files])
    planned = load_definition(load_pipeline(config.criteria).package).planned_sizes(config)
    rows = assess_all(files, planned, last, config.scale)
    return PowerReport(folder, sorted(last), rows)
