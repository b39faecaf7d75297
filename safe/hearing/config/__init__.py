"""The one description of every setting; `workflow/schemas` is generated from it.

Relative paths are relative to the folder the run is started in.
"""

from __future__ import annotations

from safe.hearing.config.basis import Fraction, Positive, Strict
from safe.hearing.config.curriculum import (
    AugmentationConfig,
    CurriculumConfig,
    RehearsalConfig,
    StageConfig,
    StageLossConfig,
)
from safe.hearing.config.data import DatasetConfig, WorldConfig
from safe.hearing.config.experiments import (
    EvaluationConfig,
    GatingConfig,
    ParityConfig,
    PilotConfig,
    PolicyConfig,
    PreflightConfig,
    ProfileConfig,
    RetentionConfig,
    SeedsConfig,
    SweepConfig,
    TinyOverfitConfig,
)
from safe.hearing.config.models import AdapterConfig, BaseConfig, LoraConfig
from safe.hearing.config.reading import load_run_config, parse_run_config
from safe.hearing.config.run import RunConfig
from safe.hearing.config.training import StageAConfig, TrackingConfig

__all__ = [
    "AdapterConfig",
    "AugmentationConfig",
    "BaseConfig",
    "CurriculumConfig",
    "DatasetConfig",
    "EvaluationConfig",
    "Fraction",
    "GatingConfig",
    "LoraConfig",
    "ParityConfig",
    "PilotConfig",
    "PolicyConfig",
    "Positive",
    "PreflightConfig",
    "ProfileConfig",
    "RehearsalConfig",
    "RetentionConfig",
    "RunConfig",
    "SeedsConfig",
    "StageAConfig",
    "StageConfig",
    "StageLossConfig",
    "Strict",
    "SweepConfig",
    "TinyOverfitConfig",
    "TrackingConfig",
    "WorldConfig",
    "load_run_config",
    "parse_run_config",
]
