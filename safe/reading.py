"""Read YAML, with errors that name the file, the line or key, and the fix."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from safe.errors import ConfigError


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """Return the model of the section that contains `location` (pydantic's error path), or None."""
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
    """Return the message for a key that `section` does not have."""
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
    """Return one line per error: key, what is wrong, and the nearest key for a misspelt one."""
    lines = []
    for found in error.errors():
        key = ".".join(str(p) for p in found["loc"]) or "(top level)"
        message = found["msg"]
        if found["type"] == "extra_forbidden":
            message = _unknown_key(str(found["loc"][-1]), _model_at(model, found["loc"]))
        elif "input" in found and not isinstance(found["input"], dict | list):
            message += f" (given: {found['input']!r})"
        lines.append(f"  {key}: {message}")
    return f"{where}: {len(lines)} error(s)\n" + "\n".join(lines)


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader (libyaml's if available) that also rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` occurs twice", key.start_mark
                )
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """Load YAML safely; errors name the file and the line of a syntax error or duplicate key.

    Raises:
        ConfigError: the file is missing, unreadable or not YAML.
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
