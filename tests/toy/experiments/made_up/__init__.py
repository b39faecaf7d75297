"""Two parts count items; the measurement is the share that is right."""

from __future__ import annotations

from safe.pipeline.experiment import Experiment, Group, MetricTable
from tests.toy.experiments.made_up.config import MadeUpSettings

METRICS: MetricTable = {"share": {"unit": "fraction", "low": -1.0, "high": 1.0}}
PARTS = ("left", "right")


def _parts(config: object) -> list[Group]:
    return [Group("left", ("left",)), Group("right", ("right",), after=("left",))]


EXPERIMENT = Experiment(
    settings=MadeUpSettings, reads=("seed",), part_reads=("made_up",), parts=_parts
)
