"""What the framework needs to know of this pipeline."""

from __future__ import annotations

from safe.gates.planning import Planned
from safe.hearing import artifacts, miniature  # noqa: F401  # registers its layout
from safe.hearing.config import RunConfig
from safe.hearing.context import Context
from safe.hearing.data.layouts import check_layout
from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.hearing.training.trackers import check_names
from safe.pipeline.definition import Pipeline


def _planned_sizes(config: RunConfig) -> dict[tuple[str, str], Planned]:
    from safe.hearing.planned import planned_sizes  # only `safe power` pays for the import

    return planned_sizes(config)


def _check_prepared(config: RunConfig) -> None:
    from safe.hearing.prepare.data import check_world  # pandas and DuckDB, for commands alone

    check_world(config)


def _check(config: RunConfig) -> None:
    for dataset in config.datasets:
        check_layout(dataset)
    check_names(config.tracking)


PIPELINE = Pipeline(
    config=RunConfig,
    check=_check,
    check_prepared=_check_prepared,
    context=Context,
    artifacts={
        "data": artifacts.DATA,
        "manifest": artifacts.MANIFEST,
        "media": artifacts.MEDIA,
        "base": artifacts.BASE,
        "features": artifacts.FEATURES,
        "references": lambda config: EvaluationSettings.of(config).references,
    },
    identity=("manifest", "base"),
    shared=("world", "datasets", "base", "tracking"),
    planned_sizes=_planned_sizes,
)
