"""The share of right items over both parts."""

from __future__ import annotations

from safe.gates.schema import Metric
from safe.gates.statistics import wilson
from safe.pipeline.context import Context
from safe.pipeline.parts import read_part
from tests.toy.experiments.made_up import METRICS, PARTS


def measure(context: Context) -> list[Metric]:
    """The one metric."""
    found = [read_part(context, part)[1] for part in PARTS]
    right, items = sum(r["right"] for r in found), sum(r["items"] for r in found)
    return [
        Metric(
            name="share",
            value=right / items,
            unit=str(METRICS["share"]["unit"]),
            n=items,
            provenance="measured",
            ci=wilson(right, items),
        )
    ]
