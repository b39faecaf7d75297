"""Weights & Biases: offline unless `tracking.online` is set."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.hearing.config import TrackingConfig
from safe.hearing.training.trackers import Record

PACKAGES = ("wandb",)
FLUSH_S = 1.0  # by default 15 s stay in memory, which a killed run loses


def environment(tracking: TrackingConfig, folder: Path) -> dict[str, str]:
    return {
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_DATA_DIR": str(folder / "cache"),
    }


def check(tracking: TrackingConfig) -> None:
    """Log in if records are sent.

    Raises:
        ConfigError: no login.
    """
    if mode(tracking) != "online":
        return
    wandb = import_module("wandb")
    try:
        found, why = wandb.login(prompt=False), "no key is configured"
    except wandb.Error as error:
        found, why = False, str(error)
    finally:
        close()  # its service would keep this environment
    if not found:
        raise ConfigError(
            f"login to Weights & Biases failed: {why}",
            key="tracking.online",
            hint="run `wandb login`, or set it to false and upload the record with `wandb sync`",
        )


def mode(tracking: TrackingConfig) -> str:
    """`offline`, unless `tracking.online` is set; then WANDB_MODE or `online`."""
    return os.environ.get("WANDB_MODE", "online") if tracking.online else "offline"


def arguments(record: Record) -> dict[str, Any]:
    settings = import_module("wandb").Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        save_code=False,
        symlink=False,  # result folders may be copied
        reinit="finish_previous",
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        x_transaction_log_flush_interval=FLUSH_S,
    )
    return {
        "id": record.id,
        "name": record.name,
        "resume": "allow",
        "dir": str(record.folder),
        "mode": mode(record.tracking),
        "settings": settings,
    }


def finish(tracker: Any, *, failed: bool) -> None:
    if failed:
        tracker.tracker.finish(exit_code=1)
    else:
        tracker.finish()


def close() -> None:
    """End the service process of this process."""
    import_module("wandb").teardown()
