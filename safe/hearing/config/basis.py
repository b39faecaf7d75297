"""What every section of the config is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from safe.pipeline.config import Settings as Strict

__all__ = ["Fraction", "Positive", "Strict"]

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
