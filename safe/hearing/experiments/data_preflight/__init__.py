"""Experiment 01: is the data fit to train and to compare models on?"""

from __future__ import annotations

from safe.pipeline.experiment import Experiment, MetricTable

METRICS: MetricTable = {
    "no_leakage": {"unit": "count", "low": 0, "high": None},
    "rows_not_read": {"unit": "count", "low": 0, "high": None},
    "files_load": {"unit": "fraction", "low": 0, "high": 1},
    "class_balance": {"unit": "ratio", "low": 1, "high": None},
    "cross_split_duplicates": {"unit": "count", "low": 0, "high": None},
    "held_out_copies": {"unit": "count", "low": 0, "high": None},
    "duplicate_recall": {"unit": "fraction", "low": 0, "high": 1},
    "alignment": {"unit": "fraction", "low": 0, "high": 1},
    "mismatch": {"unit": "fraction", "low": 0, "high": 1},
    "batch_composition": {"unit": "fraction", "low": 0, "high": 1},
    "difficulty_filter": {"unit": "count", "low": 0, "high": None},
    "stage_transitions": {"unit": "count", "low": 0, "high": None},
}

EXPERIMENT = Experiment(
    reads=("seed", "datasets", "preflight", "curriculum"),
    inputs=("manifest", "media"),
)
