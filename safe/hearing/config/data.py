"""Where data comes from: the miniature world, and datasets on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from safe.hearing.config.basis import Positive, Strict


class WorldConfig(Strict):
    """The miniature world (`safe world`), written to `root` in the public layouts."""

    root: Path
    """Folder to write it to. Runs of different worlds need one each: a second world replaces the
    first, whose run then refuses to go on.
    """

    seed: int = Field(ge=0)
    """The same seed gives the same bytes."""

    clips: Positive = 1200
    """Sounds with captions (AudioCaps layout)."""

    images: Positive = 3000
    """Pictures with questions (VQA v2 layout); GQA's part has a third as many."""

    videos: Positive = 1200
    """Clips with picture, sound and questions (MUSIC-AVQA layout)."""

    faults: list[str] = Field(default=[])
    """Faults to plant, to see a gate refuse; `safe world --help` lists them."""


class DatasetConfig(Strict):
    """A dataset on disk in the layout its authors publish."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    """Your name for it, lower case."""

    layout: str = Field(pattern=r"^[a-z0-9_]+$")
    """How its authors publish it: `audiocaps`, `clotho`, `vqav2`, `gqa`, `music_avqa`, or `digits`
    of the miniature (`docs/data.md`).
    """

    root: Path
    """The folder; nothing outside it is read. `{world}/...` lies below `world.root`."""

    splits: dict[Literal["train", "val", "test"], str] = Field(min_length=1)
    """Our split -> the dataset's own, such as `{train: train2014, val: val2014}`."""

    annotations: dict[str, Path] = Field(default={})
    """Split -> annotation file, where it is not named as published."""

    media: bool = True
    """`false`: annotation files alone; criteria that need media are then `unavailable`."""

    limit: Positive | None = None
    """The first so many questions of each split; none: all."""

    split_unit: Literal["media", "question"] = "media"
    """`media`: no picture, clip or video is in two splits; `question`: for a dataset that was
    published split by question.
    """

    split_unit_reason: str | None = None
    """Why a split by question is acceptable; shown on the page."""

    label_fields: list[str] = Field(default=["answer"])
    """Labels whose balance is checked."""

    intended_imbalance: dict[str, str] = Field(default={})
    """Label field -> why it is meant to be skewed; shown on the page."""

    names_carry_labels: str | None = None
    """Why file names that give answers away do no harm; shown on the page."""

    options: dict[str, Any] = Field(default={})
    """Keys of the layout (`docs/data.md`)."""

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
