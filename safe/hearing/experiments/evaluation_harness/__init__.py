"""07 Evaluation harness: are the metrics reliable, and do they show what depends on sound?"""

from __future__ import annotations

from safe.hearing.experiments.evaluation_harness.config import EvaluationSettings
from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "baseline_matches": {"unit": "ratio", "low": 0, "high": None},
    "metrics_stable": {"unit": "count", "low": 0, "high": None},
    "metrics_correct": {"unit": "score", "low": 0, "high": None},
    "base_differs": {"unit": "fraction", "low": 0, "high": 1},
    "lomo_drop": {"unit": "fraction", "low": 0, "high": 1},
    "lomo_vl": {"unit": "fraction", "low": -1, "high": 1},
    "follows_sound": {"unit": "fraction", "low": -1, "high": 1},
    "lomo_separation": {"unit": "auroc", "low": 0, "high": 1},
    "false_consultation": {"unit": "fraction", "low": 0, "high": 1},
    "vl_under_noise": {"unit": "fraction", "low": -1, "high": 1},
    "gate_robust": {"unit": "fraction", "low": 0, "high": 1},
}

EXPERIMENT = Experiment(
    settings=EvaluationSettings,
    reads=("seed", "adapter", "gating", "evaluation", "device"),
    inputs=("data", "base", "references"),
)
