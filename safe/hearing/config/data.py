"""Where data comes from: the miniature world, and datasets on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Positive, Strict


class WorldConfig(Strict):
    """The miniature world (`safe world`), written to `root` in the public layouts."""

    root: Path
    seed: int = Field(ge=0)
    clips: Positive = 1200  # sounds in the AudioCaps part
    images: Positive = 3000  # pictures in the VQA v2 part; the GQA part has a third as many
    videos: Positive = 1200  # clips in the MUSIC-AVQA part
    faults: list[str] = Field(default=[])


class DatasetConfig(Strict):
    """A dataset on disk in the layout its authors publish."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    layout: str = Field(pattern=r"^[a-z0-9_]+$")  # a module of safe/hearing/data/layouts
    root: Path
    splits: dict[Literal["train", "val", "test"], str] = Field(min_length=1)
    annotations: dict[str, Path] = Field(
        default={}
    )  # overrides of the layout's own file names, by split
    media: bool = True  # False: annotation files alone; what needs media is then `unavailable`
    limit: Positive | None = None  # first N questions of each split
    split_unit: Literal["media", "question"] = "media"
    split_unit_reason: str | None = None
    label_fields: list[str] = Field(default=["answer"])
    intended_imbalance: dict[str, str] = Field(default={})  # label field -> the reason
    names_carry_labels: str | None = None  # why file names that give answers away do no harm
    options: dict[str, Any] = Field(default={})  # keys of the layout, checked by its reader

    @model_validator(mode="after")
    def _question_split_needs_a_reason(self) -> DatasetConfig:
        if self.split_unit == "question" and len(self.split_unit_reason or "") < 20:
            raise ValueError("split_unit: question needs split_unit_reason (20 characters or more)")
        if self.names_carry_labels is not None and len(self.names_carry_labels) < 20:
            raise ValueError("names_carry_labels needs a reason of 20 characters")
        for field, reason in self.intended_imbalance.items():
            if len(reason) < 20:
                raise ValueError(f"intended_imbalance.{field} needs a reason of 20 characters")
        return self
