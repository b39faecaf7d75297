"""`workflow/schemas`: JSON schemas generated from the pydantic models, for editors and readers.

python -m safe.schemas workflow/schemas
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from safe.gates.schema import CriteriaFile, Decision, Measurement
from safe.hearing.config import RunConfig

MODELS: dict[str, type[BaseModel]] = {
    "config.schema.json": RunConfig,
    "criteria.schema.json": CriteriaFile,
    "measurement.schema.json": Measurement,
    "decision.schema.json": Decision,
}


def schema_texts() -> dict[str, str]:
    """File name -> its text."""
    return {
        name: json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for name, model in MODELS.items()
    }


def write_schemas(folder: Path) -> None:
    """Write every schema below `folder`."""
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
