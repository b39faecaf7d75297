"""09 Retention: which methods preserve VL accuracy during audio training?"""

from __future__ import annotations

from safe.hearing.experiments.retention.config import RetentionSettings
from safe.hearing.experiments.retention.plan import plan_jobs
from safe.pipeline.experiment import CandidateTable, Experiment, MetricTable

METRICS: MetricTable = {
    "distillation": {"unit": "fraction", "low": None, "high": 1},
    "null_space": {"unit": "fraction", "low": -1, "high": 1},
    "null_space_distilled": {"unit": "fraction", "low": -1, "high": 1},
    "lambda_selected": {"unit": "count", "low": 0, "high": None},
}

CANDIDATES: CandidateTable = {"weights": ("weight", "vl_drop_high", "audio_loss_high")}

EXPERIMENT = Experiment(
    settings=RetentionSettings,
    reads=("seed", "stage_a", "retention"),
    job_reads=("seed", "adapter", "stage_a", "held_out", "retention", "device"),
    inputs=("features",),
    jobs=plan_jobs,
    cores="one",
)
