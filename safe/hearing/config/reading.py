"""YAML or JSON into a `RunConfig`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.hearing.config.run import RunConfig
from safe.pipeline import definition
from safe.pipeline.config import read_config


def parse_run_config(values: dict[str, Any], where: Path | str) -> RunConfig:
    """Validate a mapping that came from `where`.

    Raises:
        ConfigError: naming every faulty key; or the run is of another pipeline.
    """
    config = definition.parse_run_config(values, where)
    if not isinstance(config, RunConfig):
        raise ConfigError(
            f"a run of pipeline {config.pipeline!r}, which this command does not support",
            where=where,
        )
    return config


def load_run_config(path: Path) -> RunConfig:
    """Read a run's YAML, or the resolved `config.json` of a run.

    Raises:
        ConfigError: naming file, line or key, and the fix.
    """
    return parse_run_config(read_config(path), path)
