"""Experiment trackers, one module each; a new tracker is a module in this folder.

The module has the name that Accelerate uses for the tracker. Records are kept below one folder, no
tracker prompts on the terminal, and unless `tracking.online` is set nothing is sent.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from safe.errors import ConfigError
from safe.hearing.config import TrackingConfig


@dataclass(frozen=True)
class Record:
    """The record of one training.

    Attributes:
        id: identifies the record in the tracker.
        name: shown to people.
        step: first step that will be logged.
        resumed: the record exists already.
    """

    tracking: TrackingConfig
    folder: Path
    id: str
    name: str
    step: int
    resumed: bool


class TrackerModule(Protocol):
    """What a module of this folder defines.

    Attributes:
        PACKAGES: packages that the tracker imports.
    """

    PACKAGES: tuple[str, ...]

    def environment(self, tracking: TrackingConfig, folder: Path) -> dict[str, str]:
        """Environment variables during tracking."""

    def check(self, tracking: TrackingConfig) -> None:
        """Log in where records are sent. Raises ConfigError."""

    def arguments(self, record: Record) -> dict[str, Any]:
        """Return `init_kwargs` of `Accelerator.init_trackers` for this tracker."""

    def finish(self, tracker: Any, *, failed: bool) -> None:
        """End a record."""

    def close(self) -> None:
        """Release what the tracker's package holds in this process."""


def names() -> list[str]:
    """Names of the available trackers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def check_names(tracking: TrackingConfig) -> None:
    """Refuse a tracker that has no module.

    Raises:
        ConfigError: with the nearest name.
    """
    for name in tracking.trackers:
        if name not in names():
            near = difflib.get_close_matches(name, names(), n=1)
            raise ConfigError(
                f"no tracker {name!r}" + (f"; did you mean `{near[0]}`?" if near else ""),
                key="tracking.trackers",
                hint=f"use {', '.join(names())}",
            )


def load(name: str) -> TrackerModule:
    """Return the module of a tracker; the tracker's package is not imported."""
    return cast(TrackerModule, import_module(f"{__name__}.{name}"))


def missing_packages(trackers: Iterable[str]) -> list[str]:
    """Packages that these trackers need and that are not installed."""
    needed = dict.fromkeys(package for name in trackers for package in load(name).PACKAGES)
    return [package for package in needed if importlib.util.find_spec(package) is None]


def check_trackers(tracking: TrackingConfig, folder: Path) -> None:
    """Import the trackers' packages, and log in where records are sent.

    Raises:
        ConfigError: a package is not installed, or a login is missing.
    """
    missing = missing_packages(tracking.trackers)
    if missing:
        raise ConfigError(
            f"not installed: {', '.join(missing)}",
            key="tracking.trackers",
            hint="pip install safe[tracking], or remove the tracker",
        )
    with environment(tracking, folder):
        for name in tracking.trackers:
            import_module(load(name).PACKAGES[0])
            load(name).check(tracking)


@contextmanager
def environment(tracking: TrackingConfig, folder: Path) -> Iterator[None]:
    """Set the trackers' environment variables; restore the former ones at the end."""
    values: dict[str, str] = {}
    for name in tracking.trackers:
        values |= load(name).environment(tracking, folder)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Flatten nested settings to `a.b: value`, with values that every tracker accepts."""
    made: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            made |= flat(value, f"{name}.")
        else:
            made[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return made
