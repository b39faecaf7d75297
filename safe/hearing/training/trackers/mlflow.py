"""MLflow: a local SQLite store, or with `tracking.online` the server of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from safe.hearing.config import TrackingConfig
from safe.hearing.training.trackers import Record

PACKAGES = ("mlflow", "sqlalchemy", "alembic")  # mlflow-skinny omits those of its SQL store
TAG = "safe.record"  # tag of a run with the id of its record


def environment(tracking: TrackingConfig, folder: Path) -> dict[str, str]:
    values = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    if not (tracking.online and os.environ.get("MLFLOW_TRACKING_URI")):
        values["MLFLOW_TRACKING_URI"] = _local_store(folder)
    return values


def _local_store(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow/mlflow.db"


def check(tracking: TrackingConfig) -> None:
    """There is no login."""


def arguments(record: Record) -> dict[str, Any]:
    mlflow = import_module("mlflow")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs every table that it creates
    made: dict[str, Any] = {"run_name": record.name, "tags": {TAG: record.id}}
    if os.environ["MLFLOW_TRACKING_URI"] == _local_store(record.folder):
        store = record.folder / "mlflow"
        store.mkdir(parents=True, exist_ok=True)
        made["logging_dir"] = (store / "artifacts").as_uri()
    if record.resumed:
        made["run_id"] = _run_of(mlflow, record)
    return made


def _run_of(mlflow: Any, record: Record) -> str | None:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(record.tracking.project)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{TAG}` = '{record.id}'")
    return found[0].info.run_id if found else None


def finish(tracker: Any, *, failed: bool) -> None:
    if failed:
        import_module("mlflow").end_run("FAILED")
    else:
        tracker.finish()


def close() -> None:
    """Nothing remains in the process."""
