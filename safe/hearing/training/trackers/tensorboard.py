"""TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safe.hearing.config import TrackingConfig
from safe.hearing.training.trackers import Record

PACKAGES = ("tensorboard",)


def environment(tracking: TrackingConfig, folder: Path) -> dict[str, str]:
    return {}


def check(tracking: TrackingConfig) -> None:
    """There is no login."""


def arguments(record: Record) -> dict[str, Any]:
    return {"purge_step": record.step}  # steps after the checkpoint are logged again


def finish(tracker: Any, *, failed: bool) -> None:
    tracker.finish()


def close() -> None:
    """Nothing remains in the process."""
