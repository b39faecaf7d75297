"""A whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from safe.hearing.config.curriculum import CurriculumConfig
from safe.hearing.config.data import DatasetConfig, WorldConfig
from safe.hearing.config.held_out import HeldOutConfig
from safe.hearing.config.models import AdapterConfig, BaseConfig
from safe.hearing.config.preflight import PreflightConfig
from safe.hearing.config.training import StageAConfig, TrackingConfig
from safe.pipeline.config import RunSettings


class RunConfig(RunSettings):
    """A whole run; experiments add sections of their own (`Experiment.settings`)."""

    world: WorldConfig | None = None
    """The miniature world; none for real data."""

    datasets: list[DatasetConfig] = Field(min_length=1)
    """The datasets; your own is one more entry."""

    base: BaseConfig
    """The frozen models."""

    adapter: AdapterConfig = AdapterConfig()
    """The trainable part."""

    preflight: PreflightConfig = PreflightConfig()
    """The data audit, experiment 01."""

    held_out: HeldOutConfig = HeldOutConfig()
    """Held-out questions."""

    stage_a: StageAConfig = StageAConfig()
    """How the adapter is trained."""

    tracking: TrackingConfig = TrackingConfig()
    """Where curves of the trainings are recorded."""

    curriculum: CurriculumConfig
    """Stages of the curriculum, and experiment 08."""

    @model_validator(mode="before")
    @classmethod
    def _datasets_follow_the_world(cls, values: Any) -> Any:
        """`{world}` at the start of a dataset's path is `world.root`."""
        if not isinstance(values, dict) or "datasets" not in values:
            return values
        world = values.get("world")
        root = world.get("root") if isinstance(world, dict) else getattr(world, "root", None)
        if root is None:  # what else is wrong is said first
            return values
        return values | {"datasets": _placed(values["datasets"], root)}

    @model_validator(mode="after")
    def _the_world_is_read(self) -> RunConfig:
        if self.world is None:
            lost = [d.name for d in self.datasets if _in_the_world(d.model_dump(mode="json"))]
            if lost:
                raise ValueError(
                    f"paths of {', '.join(lost)} lie in the world, and there is none (`world`)"
                )
            return self
        root = self.world.root.absolute()
        if not any(d.root.absolute().is_relative_to(root) for d in self.datasets):
            raise ValueError(
                f"no dataset lies below world.root ({self.world.root}), so nothing would read the "
                'world; write their roots as "{world}/..."'
            )
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunConfig:
        names = [d.name for d in self.datasets]
        if len(names) != len(set(names)):
            raise ValueError(f"two datasets share a name: {sorted(names)}")
        return self


def _placed(value: Any, root: str | Path) -> Any:
    """`value` with `{world}` at the start of its strings replaced."""
    if isinstance(value, str) and value.split("/")[0] == "{world}":
        return str(root) + value.removeprefix("{world}")
    if isinstance(value, dict):
        return {key: _placed(each, root) for key, each in value.items()}
    if isinstance(value, list):
        return [_placed(each, root) for each in value]
    return value


def _in_the_world(value: Any) -> bool:
    """Whether `_placed` would replace anything."""
    return bool(_placed(value, "") != value)
