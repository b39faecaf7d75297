"""Accelerate for one training: device, precision, and the record of its steps.

A record is opened when the first step is logged. Training from step 0 creates a new record; resumed
training continues the previous one, whose id is in `tracking/NAME.json`. Resuming works as follows.

- wandb: a new offline segment with the same run id, `resume="allow"`; `wandb sync` joins them.
- tensorboard: the same folder; of steps that are logged twice the last values are shown.
- mlflow: the same run, found by its tag; steps that are logged twice have two values.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration

from safe.files import write_json
from safe.hearing.config import TrackingConfig
from safe.hearing.training import trackers


class TrackedAccelerator(Accelerator):
    """An Accelerator with an optional record of the training."""

    record: TrainingRecord | None = None


@dataclass
class TrainingRecord:
    """The records of one training; `log_step` and `close` call `begin` and `end`."""

    tracking: TrackingConfig
    folder: Path
    name: str
    settings: Mapping[str, Any]
    begun: bool = False
    failed: bool = False
    ending: ExitStack = field(default_factory=ExitStack)

    def begin(self, accelerator: Accelerator, step: int) -> None:
        """Start the trackers; `step` is the first that will be logged."""
        self.begun = True
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._known() if step > 0 else None
        name = known or f"{self.name[:48]}-{uuid.uuid4().hex[:8]}"
        write_json(self._file, {"id": name})
        record = trackers.Record(
            self.tracking, self.folder, name, self.name, step, resumed=known is not None
        )
        modules = {tracker: trackers.load(tracker) for tracker in self.tracking.trackers}
        self.ending.enter_context(trackers.environment(self.tracking, self.folder))
        for module in modules.values():
            self.ending.callback(module.close)
        accelerator.project_configuration.logging_dir = str(self.folder / "tensorboard" / name)
        accelerator.init_trackers(
            self.tracking.project,
            config=None if known else trackers.flat(self.settings) or None,
            init_kwargs={tracker: module.arguments(record) for tracker, module in modules.items()},
        )
        for started in accelerator.trackers:
            self.ending.callback(lambda t: modules[t.name].finish(t, failed=self.failed), started)

    def end(self, *, failed: bool) -> None:
        """End the trackers that were started and restore the environment."""
        self.failed = failed
        self.ending.close()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.json"

    def _known(self) -> str | None:
        try:
            return str(json.loads(self._file.read_text(encoding="utf-8"))["id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # tracking was enabled after the checkpoint was written


def open_accelerator(
    device: torch.device,
    *,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
    tracking: TrackingConfig | None = None,
    folder: Path | None = None,
    run_name: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Accelerator:
    """Create an Accelerator on this device; the trainer does gradient accumulation itself.

    Accelerate stores device and precision per process. This call also changes them for Accelerators
    that were created before, so do not alternate between two trainings.

    Args:
        device: device of the model; with several processes Accelerate selects it.
        tracking: trackers to use; their records are written below `folder/tracking`.
        folder: folder of the experiment; None disables tracking.
        run_name: name of this training in the records.
        settings: settings to store in the records; may be nested.

    Raises:
        ConfigError: a tracker's package is not installed, or the login fails.
    """
    record = None
    if tracking is not None and tracking.trackers and folder is not None:
        place = folder.absolute() / "tracking"
        trackers.check_trackers(tracking, place)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", run_name).strip("-.") or "training"
        record = TrainingRecord(tracking, place, name, settings or {})
    if device.type == "cuda" and device.index is not None and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)  # Accelerate uses the current device
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = TrackedAccelerator(
        cpu=device.type == "cpu",
        mixed_precision=mixed_precision,
        log_with=list(dict.fromkeys(record.tracking.trackers)) if record else None,
        project_config=ProjectConfiguration(logging_dir=str(folder)) if record else None,
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if accelerator.is_main_process:
        accelerator.record = record
    return accelerator


def log_step(accelerator: Accelerator, values: Mapping[str, float], step: int) -> None:
    """Log the values of one step to the trackers, if there are any."""
    record = accelerator.record if isinstance(accelerator, TrackedAccelerator) else None
    if record is not None and not record.begun:
        record.begin(accelerator, step)
    if accelerator.trackers:
        accelerator.log(dict(values), step=step)


def close(accelerator: Accelerator) -> None:
    """End the record; further calls have no effect.

    A call during the handling of an exception (e.g. in `finally`) marks the record as failed.
    """
    if isinstance(accelerator, TrackedAccelerator) and accelerator.record is not None:
        record, accelerator.record = accelerator.record, None
        accelerator.trackers.clear()
        record.end(failed=sys.exc_info()[0] is not None)
