"""Measures the share that `made_up` measured again."""

from __future__ import annotations

from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {"share": {"unit": "fraction", "low": -1.0, "high": 1.0}}
EXPERIMENT = Experiment(reads=("seed",), cores="one")
