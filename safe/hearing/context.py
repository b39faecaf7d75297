"""What the experiments of this pipeline are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safe.hearing.artifacts import BASE, MANIFEST
from safe.hearing.config import RunConfig
from safe.pipeline import context


@dataclass(slots=True)
class Context(context.Context):
    """A context with the config of this pipeline."""

    config: RunConfig

    @property
    def manifest(self) -> Path:
        """results/RUN/data/manifest.parquet, written by `safe prepare-data`."""
        return self.config.folder / MANIFEST

    @property
    def base(self) -> Path:
        """results/RUN/base.json, written by `safe prepare-base`."""
        return self.config.folder / BASE
