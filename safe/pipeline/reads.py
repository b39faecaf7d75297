"""Which sections of the config a module reads, as its constant `READS` declares.

A rule and `safe measure` take the sections from the same constant. It is read from the source, so
that the Snakefile need not import the module (and torch with it).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from safe.config import RunConfig
from safe.digest import digest_json, parse_module
from safe.errors import ConfigError
from safe.pipeline.names import module_name

NAME = "READS"


def reads(module: str) -> tuple[str, ...]:
    """The sections that `READS` of a `safe.*` module names.

    Raises:
        ConfigError: there is no such module, no such constant, or it is no tuple of sections.
    """
    tree = parse_module(module)
    if tree is None:
        raise ConfigError(f"there is no module {module}", mend="check the name in the rule")
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [NAME]:
            return _sections(module, node.value)
    raise ConfigError(
        f"{module} does not say which sections of the config it reads",
        mend=f'add a line like {NAME} = ("seed", "stage_a") at the top level of the module',
    )


def _sections(module: str, value: ast.expr) -> tuple[str, ...]:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        found = None
    if not isinstance(found, tuple) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f"{NAME} of {module} is not a tuple of names", mend="write it out")
    unknown = [name for name in found if name not in RunConfig.model_fields]
    if unknown:
        raise ConfigError(
            f"{NAME} of {module} names unknown sections: {', '.join(unknown)}",
            mend=f"the sections are {', '.join(sorted(RunConfig.model_fields))}",
        )
    return found


def settings_digest(config: RunConfig, sections: Iterable[str]) -> str:
    """Digest of the values of some sections, defaults included."""
    values = config.model_dump(mode="json", include=set(sections))
    return digest_json(values)


def experiment_digest(config: RunConfig, experiment: str) -> str:
    """Digest of all that an experiment reads, in its measuring and in its parts."""
    module = module_name(experiment)
    parts = f"{module}_parts"
    sections = {*reads(module), *(reads(parts) if parse_module(parts) else ())}
    return settings_digest(config, sections)
