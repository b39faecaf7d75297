"""Log of a curriculum: one line of JSON per step and per epoch.

Lines contain no timestamps, so that an interrupted and resumed run writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from safe.errors import TrainingError
from safe.hearing.training.curriculum import Action

Count = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StepLine(_Line):
    """An optimizer step: numbers of examples, losses in nats per answer token, learning rates."""

    kind: Literal["step"] = "step"
    stage: str
    epoch: Annotated[int, Field(ge=1)]
    step: Count
    rows: Count
    audio_rows: Count
    difficulties: dict[Literal["easy", "medium", "hard"], Count]
    loss: Finite
    cross_entropy: Finite
    divergence: Finite
    gradient_norm: Finite
    projector_lr: Finite
    lora_lr: Finite


class EpochLine(_Line):
    """The end of an epoch: evaluation on held-out examples, and the next action.

    `step` is the number of steps so far; `audio_ratio` is that of this epoch.
    """

    kind: Literal["epoch"] = "epoch"
    stage: str
    epoch: Annotated[int, Field(ge=1)]
    step: Count
    audio_ratio: Share
    audio_accuracy: Share
    vl_drop: Annotated[float, Field(ge=-1, le=1)]
    skip_rate: Share
    samples: Count
    action: Action
    reason: Annotated[str, Field(min_length=1)]


Line = Annotated[StepLine | EpochLine, Field(discriminator="kind")]
LINE: TypeAdapter[StepLine | EpochLine] = TypeAdapter(Line)


class Log:
    """Writer of a log. Opening truncates the file to `size` bytes.

    Attributes:
        size: bytes written; checkpoints store it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._handle: BinaryIO | None = None

    def __enter__(self) -> Log:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = self.path.stat().st_size if self.path.exists() else 0
        if found < self.size:
            raise TrainingError(
                f"{self.path} ends at byte {found}; the checkpoint was saved at byte {self.size}",
                hint="restore the log, or delete the checkpoint to restart the training",
            )
        self._handle = self.path.open("ab")
        self._handle.truncate(self.size)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._handle:
            self._handle.close()
            self._handle = None

    def write(self, line: StepLine | EpochLine) -> None:
        """Append one line and flush it."""
        assert self._handle is not None
        data = json.dumps(line.model_dump(mode="json"), sort_keys=True).encode() + b"\n"
        self._handle.write(data)
        self._handle.flush()
        self.size += len(data)


def read_log(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield line numbers with the values of a line, or a message if the line is invalid."""
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            try:
                yield number, LINE.validate_json(raw).model_dump()
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"]) or "line"
                yield number, f"{place}: {first['msg']}"
