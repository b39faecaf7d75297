"""Reading YAML and explaining what is wrong with it: file, line or key, and the fix."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from safe.errors import ConfigError


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """The model of the section that `location` (pydantic's path to the fault) lies in, or None."""
    current: Any = model
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return None
        stack, current = [fields[part].annotation], None
        while stack:
            kind = stack.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                current = kind
            stack.extend(getattr(kind, "__args__", ()))
    return current


def _unknown_key(key: str, section: Any) -> str:
    """What is wrong with a key that `section` does not have."""
    new = getattr(section, "renamed", {}).get(key)
    if new is not None:
        return f"unknown key; it is now called `{new}`"
    place = getattr(section, "moved", {}).get(key)
    if place is not None:
        return f"unknown key; it is now set in {place}"
    known = list(getattr(section, "model_fields", {}))
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"unknown key; did you mean `{near[0]}`?"
    return "unknown key" + (f"; known keys: {', '.join(sorted(known))}" if known else "")


def explain_validation(error: ValidationError, model: type[BaseModel], where: Path | str) -> str:
    """One line a fault: key, what is wrong, and the nearest known key for a misspelt one."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(p) for p in fault["loc"]) or "(top level)"
        message = fault["msg"]
        if fault["type"] == "extra_forbidden":
            message = _unknown_key(str(fault["loc"][-1]), _model_at(model, fault["loc"]))
        elif "input" in fault and not isinstance(fault["input"], dict | list):
            message += f" (given: {fault['input']!r})"
        lines.append(f"  {key}: {message}")
    return f"{where}: {len(lines)} fault(s)\n" + "\n".join(lines)


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader (libyaml's where it is built in), refusing a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` stands twice", key.start_mark
                )
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """`yaml.safe_load`, with the file and line of a syntax error or a repeated key.

    Raises:
        ConfigError: where the file is missing, unreadable or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506  # a SafeLoader
    except FileNotFoundError:
        raise ConfigError("no such file", where=path, hint="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=path, hint="save as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            f"not YAML: {getattr(error, 'problem', error)}",
            where=path,
            line=None if mark is None else mark.line + 1,
            hint="correct the syntax at that line",
        ) from None
