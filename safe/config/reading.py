"""YAML or JSON into a `RunConfig`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from safe.config.run import RunConfig
from safe.errors import ConfigError
from safe.reading import explain_validation, read_yaml


def parse_run_config(values: dict[str, Any], where: Path | str) -> RunConfig:
    """Validate a mapping that came from `where`.

    Raises:
        ConfigError: naming every faulty key, with the nearest known key for a misspelt one.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, RunConfig, where),
            mend="correct the keys named above; config/README.md describes each one",
        ) from None


def load_run_config(path: Path) -> RunConfig:
    """Read a run's YAML, or the resolved `config.json` of a run.

    Raises:
        ConfigError: naming file, line or key, and the mend.
    """
    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot be read: {error}", where=path) from None
    else:
        values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("not a mapping at the top level", where=path, mend="see config/README.md")
    return parse_run_config(values, path)
