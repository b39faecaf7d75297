"""Return the measurement of `made_up`."""

from __future__ import annotations

from safe.gates.documents import read_measurement
from safe.gates.schema import Metric
from safe.pipeline.context import Context


def measure(context: Context) -> list[Metric]:
    """Return the one metric."""
    first = read_measurement(context.config.folder / "01_made_up" / "measurement.json")
    return first.metrics
