"""The trackers by name: the packages each needs, and how each is told to keep its record local.

Records lie below one folder. Nothing is asked on the terminal, and unless `tracking.online` is set
nothing is sent: crash reports and usage statistics of the trackers are turned off in any case.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from safe.errors import ConfigError
from safe.hearing.config import TrackingConfig

PACKAGES = {
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),  # mlflow-skinny leaves its SQL store's out
}
TAG = "safe.record"  # of an MLflow run: which record it is
FLUSH_S = 1.0  # wandb keeps 15 s in memory otherwise, which a killed run loses


def missing_packages(trackers: Iterable[str]) -> list[str]:
    """Packages that these trackers need and that are not installed."""
    needed = dict.fromkeys(package for name in trackers for package in PACKAGES[name])
    return [package for package in needed if importlib.util.find_spec(package) is None]


def check_trackers(tracking: TrackingConfig, folder: Path) -> None:
    """Import the trackers' packages; log in where the record goes to a wandb server.

    Raises:
        ConfigError: a package is not installed, or `tracking.online` without a login.
    """
    missing = missing_packages(tracking.trackers)
    if missing:
        raise ConfigError(
            f"not installed: {', '.join(missing)}",
            key="tracking.trackers",
            hint="pip install safe[tracking], or take it out",
        )
    with environment(tracking, folder):
        for name in tracking.trackers:
            import_module(name)
        if "wandb" in tracking.trackers and wandb_mode(tracking) == "online":
            _log_in()


def _log_in() -> None:
    wandb = import_module("wandb")
    try:
        found, why = wandb.login(prompt=False), "no key is configured"
    except wandb.Error as error:
        found, why = False, str(error)
    finally:
        wandb.teardown()  # its service would keep this environment
    if not found:
        raise ConfigError(
            f"Weights & Biases cannot be logged in to: {why}",
            key="tracking.online",
            hint="run `wandb login`, or set it to false and send the record with `wandb sync`",
        )


def wandb_mode(tracking: TrackingConfig) -> str:
    """Offline, unless `tracking.online` is set; then as WANDB_MODE says."""
    return os.environ.get("WANDB_MODE", "online") if tracking.online else "offline"


@contextmanager
def environment(tracking: TrackingConfig, folder: Path) -> Iterator[None]:
    """Environment variables for what the trackers cannot be told otherwise; put back at the end."""
    values = {
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_DATA_DIR": str(folder / "cache"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if not (tracking.online and os.environ.get("MLFLOW_TRACKING_URI")):
        values["MLFLOW_TRACKING_URI"] = _local_store(folder)
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


def _local_store(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow/mlflow.db"


def arguments(
    tracking: TrackingConfig, folder: Path, *, record: str, name: str, step: int, resumed: bool
) -> dict[str, dict[str, Any]]:
    """`init_kwargs` of `Accelerator.init_trackers`; called within `environment`.

    Args:
        record: id of the record.
        name: what a person sees in place of it.
        step: first step that will be logged.
        resumed: whether the record is there already.
    """
    made: dict[str, dict[str, Any]] = {}
    if "wandb" in tracking.trackers:
        made["wandb"] = {
            "id": record,
            "name": name,
            "resume": "allow",
            "dir": str(folder),
            "mode": wandb_mode(tracking),
            "settings": _wandb_settings(),
        }
    if "tensorboard" in tracking.trackers:
        # Steps after the checkpoint are logged again: what was there of them is superseded.
        made["tensorboard"] = {"purge_step": step}
    if "mlflow" in tracking.trackers:
        made["mlflow"] = _mlflow(tracking, folder, record, name, resumed)
    return made


def _wandb_settings() -> Any:
    return import_module("wandb").Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        save_code=False,
        symlink=False,  # result folders are copied about
        reinit="finish_previous",
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
        x_transaction_log_flush_interval=FLUSH_S,
    )


def _mlflow(
    tracking: TrackingConfig, folder: Path, record: str, name: str, resumed: bool
) -> dict[str, Any]:
    mlflow = import_module("mlflow")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it makes
    made: dict[str, Any] = {"run_name": name, "tags": {TAG: record}}
    if os.environ["MLFLOW_TRACKING_URI"] == _local_store(folder):
        store = folder / "mlflow"
        store.mkdir(parents=True, exist_ok=True)
        made["logging_dir"] = (store / "artifacts").as_uri()
    if resumed:
        made["run_id"] = _mlflow_run(mlflow, tracking.project, record)
    return made


def _mlflow_run(mlflow: Any, project: str, record: str) -> str | None:
    """The run of this record, if it is there."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{TAG}` = '{record}'")
    return found[0].info.run_id if found else None


def finish(tracker: Any, *, failed: bool) -> None:
    """End one tracker's record, as failed where an error ended the training."""
    if failed and tracker.name == "wandb":
        tracker.tracker.finish(exit_code=1)
    elif failed and tracker.name == "mlflow":
        import_module("mlflow").end_run("FAILED")
    else:
        tracker.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested settings as `a.b: value`, the values such as every tracker takes them."""
    made: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            made |= flat(value, f"{name}.")
        else:
            made[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return made
