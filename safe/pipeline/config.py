"""Base models of a run's config, and functions that read it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from safe.digest import digest_json
from safe.errors import ConfigError
from safe.gates.pipeline import load_pipeline
from safe.reading import explain_validation, read_yaml

HINT = "correct the keys named above; docs/settings.md describes each one"


class Settings(BaseModel):
    """An immutable section of a config; unknown keys are errors.

    The settings of an experiment name their section: `section: ClassVar[str] = "sweep"`.
    """

    section: ClassVar[str] = ""
    renamed: ClassVar[Mapping[str, str]] = {}  # former key -> current name
    moved: ClassVar[Mapping[str, str]] = {}  # former key -> where the value is now set
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, use_attribute_docstrings=True
    )

    @classmethod
    def of(cls, config: RunSettings) -> Self:
        """The section of a run config that an experiment declares as its `settings`."""
        found: Self = getattr(config, cls.section)
        return found


class RunSettings(Settings):
    """Keys of every run config; a pipeline adds its own sections."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the folder below `results`: letters, digits, `.`, `_`, `-`; no spaces."""

    pipeline: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name of the pipeline: the folder below `config/` that holds `pipeline.yaml` and `criteria/`.
    """

    scale: str
    """One of the scales of `pipeline.yaml`; criteria may have a different threshold for it."""

    seed: int = Field(ge=0)
    """Seed of all random numbers of the run."""

    results: Path = Path("results")
    """Folder of the results."""

    cache: Path = Path("cache")
    """Folder of data shared by all runs, such as frozen features."""

    criteria: Path
    """Folder of the criteria files; by default `config/<pipeline>/criteria`."""

    waivers: Path = Path("config/waivers.yaml")
    """File of accepted exceptions."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`."""

    threads: int = Field(default=2, gt=0)
    """Number of threads of a job."""

    job_threads: int | None = Field(default=None, gt=0)
    """Number of threads of a training that runs in parallel with others; none: `threads`."""

    pack_jobs: bool = False
    """Run several short trainings in one process, to save start-up time."""

    allow_underpowered: bool = False
    """Start at full scale even if the run has too few items to decide a required criterion (see
    `safe power`).
    """

    @model_validator(mode="before")
    @classmethod
    def _criteria_of_the_pipeline(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("pipeline"), str):
            return {"criteria": f"config/{values['pipeline']}/criteria"} | values
        return values

    @property
    def folder(self) -> Path:
        """results/RUN."""
        return self.results / self.run


C = TypeVar("C", bound=RunSettings)


def parse_config(model: type[C], values: dict[str, Any], where: Path | str) -> C:
    """Validate a mapping that came from `where`.

    Raises:
        ConfigError: the config is invalid; names every invalid key and the nearest known key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain_validation(error, model, where), hint=HINT) from None


def read_config(path: Path) -> dict[str, Any]:
    """Read the mapping in a run's YAML, or in its resolved `config.json`.

    Raises:
        ConfigError: the file cannot be read; names the file and the line of a syntax error.
    """
    if path.suffix == ".json":
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot be read: {error}", where=path) from None
    else:
        values = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("not a mapping at the top level", where=path, hint="see config/README.md")
    return values


def settings_digest(config: RunSettings, sections: Collection[str]) -> str:
    """Digest of the values of some sections, defaults included."""
    return digest_json(config.model_dump(mode="json", include=set(sections)))


def restrict(config: C, sections: Collection[str], owner: str) -> C:
    """Return a view of `config` with the common keys and `sections`; others raise ConfigError.

    The declared sections determine when an experiment runs again, so it must not read others.

    Args:
        owner: name used in the error.
    """
    kind = type(config)
    allowed = {*RunSettings.model_fields, *sections}

    class Restricted(kind):  # type: ignore[misc, valid-type]
        def __getattr__(self, name: str) -> Any:
            if name in kind.model_fields:
                raise ConfigError(
                    f"{owner} reads `{name}`, which it does not declare",
                    key=name,
                    hint="add it to `reads` or `job_reads` of the experiment",
                )
            return super().__getattr__(name)

    found: C = Restricted.model_construct(**{n: getattr(config, n) for n in kind.model_fields})
    for name in kind.model_fields.keys() - allowed:
        del found.__dict__[name]
    return found


def check_scale(config: RunSettings) -> None:
    """Check that the run's pipeline has its scale.

    Raises:
        ConfigError: there is no such scale, or the pipeline cannot be read.
    """
    load_pipeline(config.criteria).check_scale(config.scale)
