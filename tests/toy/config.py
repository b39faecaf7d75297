"""Settings of the toy pipeline."""

from __future__ import annotations

from pydantic import Field

from safe.pipeline.config import RunSettings


class ToyConfig(RunSettings):
    """A run of the toy pipeline."""

    paint: dict[str, str] = Field(default={})
