"""Read criteria files, `config/<pipeline>/criteria/NN_name.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from safe.digest import digest_json
from safe.errors import ConfigError
from safe.gates.schema import CriteriaFile, without_empty
from safe.reading import explain_validation, read_yaml


def criteria_digest(criteria: CriteriaFile) -> str:
    """Digest of the content of a criteria file.

    Comments, layout and `power` do not affect it; `power` changes no verdict.
    """
    values = criteria.model_dump(mode="json", exclude={"criteria": {"__all__": {"power"}}})
    return digest_json(without_empty(values))


def line_of(path: Path, location: tuple[int | str, ...]) -> int | None:
    """Return the line (from 1) of the YAML node nearest to `location`, pydantic's error path."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    line = None if node is None else node.start_mark.line + 1
    for part in location:
        below = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, below = key.start_mark.line + 1, value
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            below = node.value[part]
            line = below.start_mark.line + 1
        if below is None:
            break
        node = below
    return line


def load_criteria(path: Path) -> CriteriaFile:
    """Read and check one criteria file.

    Raises:
        ConfigError: not YAML, an unknown or missing key, a wrong type, a duplicate id, or a file
            name that differs from its experiment. Names file, line, key and hint.
    """
    values: Any = read_yaml(path)
    if not isinstance(values, dict):
        raise ConfigError("not a mapping at the top level", where=path, hint="see docs/criteria.md")
    try:
        criteria = CriteriaFile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            explain_validation(error, CriteriaFile, path),
            where=path,
            line=line_of(path, error.errors()[0]["loc"]),
            hint="correct the keys named above; docs/criteria.md describes each one",
        ) from None
    _check_names(path, criteria)
    return criteria


def _check_names(path: Path, criteria: CriteriaFile) -> None:
    if criteria.experiment != path.stem:
        raise ConfigError(
            f"the experiment is {criteria.experiment!r}, but the file is named {path.name!r}",
            where=path,
            key="experiment",
            hint=f"rename it to {criteria.experiment}.yaml, or correct the key",
        )
    number, seen = criteria.experiment[:2], set()
    for index, criterion in enumerate(criteria.criteria):
        fault = None
        if not criterion.id.startswith(f"{number}."):
            fault = f"the id {criterion.id!r} does not begin with {number}."
        elif criterion.id in seen:
            fault = f"the id {criterion.id!r} occurs twice"
        if fault:
            raise ConfigError(
                fault,
                where=path,
                line=line_of(path, ("criteria", index, "id")),
                key="id",
                hint=f"give every criterion its own id, {number}.short_name",
            )
        seen.add(criterion.id)


def load_each(folder: Path) -> tuple[list[CriteriaFile], dict[str, ConfigError]]:
    """Load every criteria file of `folder`; an error in one file does not hide the others.

    An experiment that needs a later or missing experiment is also an error.

    Returns:
        Files by number, and experiment -> error.
    """
    files: list[CriteriaFile] = []
    faults: dict[str, ConfigError] = {}
    paths = sorted(folder.glob("*.yaml"))
    names = [path.stem for path in paths]
    for path in paths:
        try:
            criteria = load_criteria(path)
            _check_needs(path, criteria, names)
        except ConfigError as error:
            faults[path.stem] = error
        else:
            files.append(criteria)
    return files, faults


def _check_needs(path: Path, criteria: CriteriaFile, names: list[str]) -> None:
    earlier = names[: names.index(path.stem)]
    for need in criteria.needs:
        if need not in earlier:
            raise ConfigError(
                f"needs {need!r}, which "
                + ("is not an earlier experiment" if need in names else "has no criteria file"),
                where=path,
                line=line_of(path, ("needs",)),
                key="needs",
                hint=f"name an earlier experiment: {', '.join(earlier) or 'none exists'}",
            )


def load_all(folder: Path) -> list[CriteriaFile]:
    """Load every criteria file of `folder`, sorted by number.

    Raises:
        ConfigError: there is no criteria file, or one is invalid.
    """
    files, faults = load_each(folder)
    for error in faults.values():
        raise error
    if not files:
        raise ConfigError(
            "no criteria files", where=folder, hint="name a folder with NN_name.yaml files"
        )
    return files
