"""Read `config/<pipeline>/pipeline.yaml`: title, scales and launch items of a pipeline."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from safe.errors import ConfigError
from safe.gates.criteria import line_of
from safe.gates.schema import Document
from safe.reading import explain_validation, read_yaml

FILE = "pipeline.yaml"
PLAN = "full"  # scale of the unscaled thresholds


class LaunchItem(Document):
    """An item of the launch checklist."""

    title: str = Field(min_length=1, description="Short title.")
    claim: str = Field(min_length=1, description="What is true once its experiments are GO.")


class HeaderField(Document):
    """A setting of the run that the page's header shows."""

    label: str = Field(min_length=1, description="Label on the page.")
    key: str = Field(
        pattern=r"^\w+(\.\w+)*$",
        description="Key in the run's config, such as `seed` or `datasets.name`. For a list, the "
        "key of every element.",
    )
    missing: str | None = Field(
        default=None, description="Text if the run has no such value; none: omitted."
    )


class PipelineFile(Document):
    """`pipeline.yaml`, next to the folder of criteria files."""

    title: str = Field(min_length=1, description="Title of the page.")
    package: str = Field(
        pattern=r"^[a-z_]\w*(\.[a-z_]\w*)*$",
        description="Python package; each folder in its `experiments` is an experiment.",
    )
    go: str = Field(min_length=1, description="Sentence on the page that states what a GO permits.")
    scales: dict[str, str] = Field(
        min_length=1,
        description="Scale -> its meaning. `full` is the plan; thresholds of other scales may "
        "differ (`scaled` in a criteria file).",
    )
    launch_items: dict[str, LaunchItem] = Field(
        min_length=1, description="Item -> title and claim, in the order of the page."
    )
    header: list[HeaderField] = Field(default=[], description="Settings in the page's header.")

    @field_validator("scales")
    @classmethod
    def _require_full_scale(cls, value: dict[str, str]) -> dict[str, str]:
        if PLAN not in value:
            raise ValueError(f"`{PLAN}`, the plan's own scale, is missing")
        return value

    def check_scale(self, scale: str, where: Path | str | None = None) -> None:
        """Check that the pipeline has the scale.

        Raises:
            ConfigError: there is no such scale; suggests the nearest one.
        """
        if scale not in self.scales:
            near = difflib.get_close_matches(scale, self.scales, n=1)
            raise ConfigError(
                f"no scale {scale!r}" + (f"; did you mean `{near[0]}`?" if near else ""),
                where=where,
                key="scale",
                hint=f"use {' or '.join(self.scales)}",
            )


def load_pipeline(criteria: Path) -> PipelineFile:
    """Load the `pipeline.yaml` next to a folder of criteria files.

    Raises:
        ConfigError: missing, not YAML, an unknown or missing key. Names file, line and key.
    """
    path = criteria.parent / FILE
    if not path.is_file():
        raise ConfigError(
            "no such pipeline",
            where=path,
            hint=f"name a folder below config/ that has a {FILE}, or write one",
        )
    values: Any = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("not a mapping at the top level", where=path, hint="see docs/criteria.md")
    try:
        return PipelineFile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, PipelineFile, path),
            where=path,
            line=line_of(path, error.errors()[0]["loc"]),
            hint="correct the keys named above; docs/criteria.md describes each one",
        ) from None
