"""The criteria and settings that a pipeline ships, and the deviations of a run from them.

The references are files of the pipeline's package, so that an edit of criteria or configs cannot
change them. They are generated from the shipped files (`python -m safe.schemas`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from safe.errors import ConfigError
from safe.gates.criteria_check import experiments_folder
from safe.gates.schema import Bound, CriteriaFile

FILE = "reference_criteria.json"
SETTINGS = "reference_settings.json"
PLACES = ("run", "results", "cache")  # settings that change no result
FIELDS = ("metric", "op", "threshold", "unit", "decide_on", "min_n", "min_items", "severity")


def reference_of(files: Iterable[CriteriaFile]) -> dict[str, Any]:
    """Return what decides verdicts in criteria files, as JSON values; no prose."""
    return {
        file.experiment: {
            "optional": file.optional,
            "needs": file.needs,
            "launch_items": file.launch_items,
            "criteria": {
                c.id: c.model_dump(mode="json", include=set(FIELDS)) | {"scaled": _scaled(c)}
                for c in file.criteria
            },
            "selections": {
                s.name: {
                    "candidates": s.candidates,
                    "limits": [_bound(limit.value, limit) for limit in s.limits],
                    "confirm": [_bound(limit.value, limit) for limit in s.confirm],
                    "prefer": [p.model_dump(mode="json") for p in s.prefer],
                }
                for s in file.selections
            },
        }
        for file in files
    }


def _scaled(bound: Bound) -> dict[str, Any]:
    return {scale: s.model_dump(mode="json")["threshold"] for scale, s in bound.scaled.items()}


def _bound(value: str, bound: Bound) -> dict[str, Any]:
    threshold = bound.model_dump(mode="json")["threshold"]
    return {"value": value, "op": bound.op, "threshold": threshold, "scaled": _scaled(bound)}


def load_reference(package: str, name: str = FILE) -> dict[str, Any] | None:
    """Return a reference of a pipeline's package; None if it ships none.

    Raises:
        ConfigError: there is no such package, or the file is broken.
    """
    path = experiments_folder(package).parent / name
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read: {error}", where=path, hint="install the package again"
        ) from None
    return found


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted key -> value of a run config, as JSON values, without `PLACES`."""
    return {
        key: value
        for name, section in config.items()
        if name not in PLACES
        for key, value in _flat(name, section)
    }


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{key}[{index}]", inner)
    else:
        yield key, value


def changed_settings(
    config: Mapping[str, Any], shipped: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[str]]:
    """Return the shipped config that a run is nearest to, and the differences, one line each.

    Args:
        config: the run's config.json.
        shipped: name of a shipped config -> its settings, as from `settings_of`.
    """
    found = settings_of(config)
    lines = {
        name: [
            line
            for key in sorted({*found, *reference})
            for line in _changed(key, found.get(key), reference.get(key))
        ]
        for name, reference in shipped.items()
    }
    nearest = min(lines, key=lambda name: (len(lines[name]), name))
    return nearest, lines[nearest]


def deviations(files: Iterable[CriteriaFile], reference: Mapping[str, Any]) -> list[str]:
    """Return the deviations of criteria from a reference, one line each."""
    found = reference_of(files)
    lines = [f"{name}: its criteria file is missing" for name in reference if name not in found]
    for name, file in found.items():
        if name not in reference:
            lines.append(f"{name}: not in the reference")
            continue
        shipped = reference[name]
        for field in ("optional", "needs", "launch_items"):
            lines += _changed(f"{name} {field}", file[field], shipped[field])
        for kind in ("criteria", "selections"):
            lines += _entries(name, kind, file[kind], shipped[kind])
    return lines


def _entries(
    name: str, kind: str, file: Mapping[str, Any], shipped: Mapping[str, Any]
) -> Iterator[str]:
    for key in (*shipped, *(k for k in file if k not in shipped)):
        label = key if kind == "criteria" else f"{name} selection {key}"
        if key not in file:
            yield f"{label}: deleted"
        elif key not in shipped:
            yield f"{label}: added"
        else:
            for field, value in file[key].items():
                yield from _changed(f"{label} {field}", value, shipped[key].get(field))


def _changed(label: str, value: Any, shipped: Any) -> list[str]:
    if value == shipped:
        return []
    return [f"{label}: {json.dumps(value)}, reference {json.dumps(shipped)}"]
