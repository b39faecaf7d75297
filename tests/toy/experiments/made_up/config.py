"""Settings of `made_up`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from safe.pipeline.config import Settings


class MadeUpSettings(Settings):
    """Number of items, and share of correct ones."""

    section: ClassVar[str] = "made_up"
    items: int = Field(default=200, gt=0)
    share: float = Field(default=0.97, ge=0, le=1)
