"""05 Gating: can the base's uncertainty decide when to use the audio?"""

from __future__ import annotations

from safe.hearing.experiments.gating.config import GatingSettings
from safe.pipeline.experiment import CandidateTable, Experiment, MetricTable

METRICS: MetricTable = {
    "skip_rate": {"unit": "fraction", "low": 0, "high": 1},
    "audio_drop": {"unit": "fraction", "low": -1, "high": 1},
    "vl_unchanged": {"unit": "count", "low": 0, "high": None},
    "tradeoff": {"unit": "count", "low": 0, "high": None},
    "chosen_on_validation": {"unit": "count", "low": 0, "high": None},
    "choice_differs": {"unit": "count", "low": 0, "high": None},
    "as_tabulated": {"unit": "fraction", "low": 0, "high": 1},
    "base_differs": {"unit": "fraction", "low": 0, "high": 1},
    "skipped_work": {"unit": "count", "low": 0, "high": None},
    "time_saved": {"unit": "ratio", "low": None, "high": None},
}

CANDIDATES: CandidateTable = {"gates": ("audio_drop_high", "skip_rate", "vl_consulted")}

EXPERIMENT = Experiment(
    settings=GatingSettings,
    reads=("seed", "adapter", "gating", "device"),
    inputs=("data", "base"),
)
