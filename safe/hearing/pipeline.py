"""What the framework needs to know of this pipeline."""

from __future__ import annotations

from safe.gates.planning import Planned
from safe.hearing import artifacts
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.pipeline.definition import Pipeline


def _planned_sizes(config: RunConfig) -> dict[tuple[str, str], Planned]:
    from safe.hearing.planned import planned_sizes  # only `safe power` pays for the import

    return planned_sizes(config)


PIPELINE = Pipeline(
    config=RunConfig,
    context=Context,
    artifacts={
        "data": artifacts.DATA,
        "manifest": artifacts.MANIFEST,
        "media": artifacts.MEDIA,
        "base": artifacts.BASE,
        "features": artifacts.FEATURES,
        "references": lambda config: config.evaluation.references,
    },
    shared=("world", "datasets", "base", "tracking"),
    planned_sizes=_planned_sizes,
)
