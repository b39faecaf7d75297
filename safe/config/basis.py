"""What every section of the config is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Layout = Literal["audiocaps", "vqav2", "gqa", "music_avqa", "digits"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """No unknown key, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
