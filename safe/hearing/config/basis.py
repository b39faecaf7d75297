"""What every section of the config is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from safe.pipeline.config import Settings as Strict

__all__ = ["Fraction", "Layout", "Positive", "Strict"]

Layout = Literal["audiocaps", "vqav2", "gqa", "music_avqa", "digits"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
