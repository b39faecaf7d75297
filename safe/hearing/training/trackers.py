"""Experiment trackers: required packages, and arguments that keep the records local.

Records are written below one folder. There are no prompts on the terminal. Nothing is sent unless
`tracking.online` is set; crash reports and usage statistics of the trackers are always disabled.
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
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),  # mlflow-skinny omits its SQL store's
}
TAG = "safe.record"  # MLflow tag with the id of the record
FLUSH_S = 1.0  # the default of wandb is 15 s, which a killed run would lose


def missing_packages(trackers: Iterable[str]) -> list[str]:
    """Return the packages that these trackers need and that are not installed."""
    needed = dict.fromkeys(package for name in trackers for package in PACKAGES[name])
    return [package for package in needed if importlib.util.find_spec(package) is None]


def check_trackers(tracking: TrackingConfig, folder: Path) -> None:
    """Import the trackers' packages; log in to wandb if it is online.

    Raises:
        ConfigError: a package is not installed, or wandb cannot be logged in to.
    """
    missing = missing_packages(tracking.trackers)
    if missing:
        raise ConfigError(
            f"not installed: {', '.join(missing)}",
            key="tracking.trackers",
            hint="run `pip install safe[tracking]`, or remove the tracker",
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
        wandb.teardown()  # otherwise its service keeps this environment
    if not found:
        raise ConfigError(
            f"login to Weights & Biases failed: {why}",
            key="tracking.online",
            hint="run `wandb login`, or set it to false and upload the record with `wandb sync`",
        )


def wandb_mode(tracking: TrackingConfig) -> str:
    """Return `offline`, or the value of WANDB_MODE if `tracking.online` is set."""
    return os.environ.get("WANDB_MODE", "online") if tracking.online else "offline"


@contextmanager
def environment(tracking: TrackingConfig, folder: Path) -> Iterator[None]:
    """Set environment variables of the trackers within the block."""
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
    """Return `init_kwargs` of `Accelerator.init_trackers`; call it within `environment`.

    Args:
        record: id of the record.
        name: display name of the record.
        step: first step that will be logged.
        resumed: the record already exists.
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
        # Steps after the checkpoint are logged again and replace the old ones.
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
        symlink=False,  # result folders may be copied
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
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table that it creates
    made: dict[str, Any] = {"run_name": name, "tags": {TAG: record}}
    if os.environ["MLFLOW_TRACKING_URI"] == _local_store(folder):
        store = folder / "mlflow"
        store.mkdir(parents=True, exist_ok=True)
        made["logging_dir"] = (store / "artifacts").as_uri()
    if resumed:
        made["run_id"] = _mlflow_run(mlflow, tracking.project, record)
    return made


def _mlflow_run(mlflow: Any, project: str, record: str) -> str | None:
    """Return the id of the MLflow run with this record, or None."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{TAG}` = '{record}'")
    return found[0].info.run_id if found else None


def finish(tracker: Any, *, failed: bool) -> None:
    """End a tracker's record; mark it as failed if the training failed."""
    if failed and tracker.name == "wandb":
        tracker.tracker.finish(exit_code=1)
    elif failed and tracker.name == "mlflow":
        import_module("mlflow").end_run("FAILED")
    else:
        tracker.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Flatten nested settings to `a.b: value`, with value types that all trackers support."""
    made: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            made |= flat(value, f"{name}.")
        else:
            made[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return made
