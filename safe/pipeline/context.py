"""What an experiment is given, and how its numbers become `measurement.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safe.pipeline.config import RunSettings


@dataclass(slots=True)
class Context:
    """Given to `measure(context) -> list[Metric]` of an experiment.

    Attributes:
        config: the run's settings; sections that the experiment does not declare are refused.
        folder: results/RUN/NN_name; the experiment writes plots/ and Parquet tables below it.
        plots, evidence: paths relative to `folder` that the experiment adds as it writes them.
        digests: the experiment adds `data`, `weights` or others it read; code, config and
            criteria are filled in by `safe measure`.
        device_seconds: seconds of accelerator time (0 on CPU), added by the experiment.
    """

    config: RunSettings
    folder: Path
    plots: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    device_seconds: float = 0.0
