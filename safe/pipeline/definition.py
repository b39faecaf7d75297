"""Definition of a pipeline, and discovery of its experiments by folder."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from safe.errors import ConfigError
from safe.gates.criteria_check import experiments_folder
from safe.gates.pipeline import load_pipeline
from safe.gates.planning import Planned
from safe.pipeline.config import RunSettings, Settings, parse_config, read_config
from safe.pipeline.context import Context
from safe.pipeline.experiment import Experiment


def _no_sizes(config: Any) -> dict[tuple[str, str], Planned]:
    return {}


@dataclass(frozen=True)
class Pipeline:
    """`PIPELINE` of `<package>.pipeline`; importing it must be cheap.

    Attributes:
        config: model of the run config.
        context: class of the experiments' context.
        artifacts: role -> path of a shared file, relative to results/RUN, or a function of the
            config that returns the path.
        identity: roles of the artifacts that identify data and weights; every job and measurement
            records their digests.
        shared: sections that experiments need not declare, because they affect results only through
            an artifact or not at all.
        check: raises an error if valid sections of a config contradict each other.
        check_prepared: raises an error if artifacts were modified.
        planned_sizes: config -> (experiment, metric) -> planned number of items, for `safe power`.
    """

    config: type[RunSettings]
    context: type[Context] = Context
    artifacts: Mapping[str, str | Callable[[Any], Path]] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    check: Callable[[Any], None] = lambda config: None
    check_prepared: Callable[[Any], None] = lambda config: None
    planned_sizes: Callable[[Any], dict[tuple[str, str], Planned]] = _no_sizes

    def artifact(self, config: RunSettings, role: str) -> Path:
        """Return the path of an artifact.

        Raises:
            ConfigError: the pipeline has no such artifact.
        """
        if role not in self.artifacts:
            near = difflib.get_close_matches(role, self.artifacts, n=1)
            raise ConfigError(
                f"no artifact {role!r}",
                hint=f"did you mean `{near[0]}`?" if near else f"one of {sorted(self.artifacts)}",
            )
        path = self.artifacts[role]
        return config.folder / path if isinstance(path, str) else path(config)


def load_definition(package: str) -> Pipeline:
    """Load `PIPELINE` of a package.

    Raises:
        ConfigError: the package or its module `pipeline` does not exist.
    """
    name = f"{package}.pipeline"
    try:
        found: Pipeline = importlib.import_module(name).PIPELINE
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise ConfigError(
            f"there is no module {name}",
            key="package",
            hint="correct `package` in pipeline.yaml, or install the package",
        ) from None
    return found


@cache
def config_model(package: str) -> type[RunSettings]:
    """Return the model of the run config, with the sections of all experiments.

    Raises:
        ConfigError: two experiments declare the same section.
    """
    base = load_definition(package).config
    sections: dict[str, type[Settings]] = {}
    for name in built_experiments(package):
        settings = load_experiment(package, f"00_{name}").settings
        if settings is None:
            continue
        if settings.section in sections or settings.section in base.model_fields:
            raise ConfigError(
                f"the section {settings.section!r} of experiment {name!r} is already used",
                key=settings.section or "section",
                hint='give the settings a unique name: section: ClassVar[str] = "..."',
            )
        sections[settings.section] = settings
    fields: dict[str, Any] = {
        name: (model, Field(default=model(), description=inspect.getdoc(model)))
        for name, model in sections.items()
    }
    return create_model(base.__name__, __base__=base, **fields) if fields else base


def parse_run_config(values: dict[str, Any], where: Path | str) -> RunSettings:
    """Validate a run config with the model of its pipeline.

    Raises:
        ConfigError: a key is invalid, or the pipeline or scale does not exist.
    """
    name = values.get("pipeline")
    if not isinstance(name, str):
        raise ConfigError("names no pipeline", where=where, key="pipeline", hint=_known_pipelines())
    criteria = Path(str(values.get("criteria", f"config/{name}/criteria")))
    pipeline = load_pipeline(criteria)
    definition = load_definition(pipeline.package)
    config = parse_config(config_model(pipeline.package), values, where)
    try:
        definition.check(config)
    except ConfigError as error:
        if error.where is not None:
            raise
        raise ConfigError(error.what, where=where, key=error.key, hint=error.hint) from None
    pipeline.check_scale(config.scale, where)
    return config


def _known_pipelines() -> str:
    names = sorted(path.parent.name for path in Path("config").glob("*/pipeline.yaml"))
    return f"add a line `pipeline: NAME`, one of {', '.join(names) or 'the folders in config/'}"


def load_run_config(path: Path) -> RunSettings:
    """Read a run's YAML, or the resolved `config.json` of a run.

    Raises:
        ConfigError: the config is invalid; names file, line or key, and the fix.
    """
    return parse_run_config(read_config(path), path)


def experiment_package(package: str, experiment: str) -> str:
    """Return the package of an experiment: `<package>.experiments.<name without number>`."""
    return f"{package}.experiments.{experiment[3:]}"


def load_experiment(package: str, experiment: str) -> Experiment:
    """Load the declaration of an experiment.

    Raises:
        ConfigError: there is no such experiment, or its package declares none.
    """
    name = experiment_package(package, experiment)
    try:
        declared: Experiment = importlib.import_module(name).EXPERIMENT
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(
            f"no experiment {experiment!r}", hint=f"there is no package {name}"
        ) from None
    except AttributeError:
        raise ConfigError(
            "the package declares no EXPERIMENT",
            where=name,
            hint="add EXPERIMENT = Experiment(reads=(...)) to its __init__.py",
        ) from None
    return declared


def built_experiments(package: str) -> list[str]:
    """Return the names of all experiment folders, without numbers."""
    return sorted(path.parent.name for path in experiments_folder(package).glob("*/__init__.py"))
