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
from safe.hearing.config.held_out import HeldOutConfig
from safe.hearing.config.models import AdapterConfig, BaseConfig, LoraConfig
from safe.hearing.config.preflight import PreflightConfig
from safe.hearing.config.reading import load_run_config, parse_run_config
from safe.hearing.config.run import RunConfig
from safe.hearing.config.training import StageAConfig, TrackingConfig

__all__ = [
    "AdapterConfig",
    "AugmentationConfig",
    "BaseConfig",
    "CurriculumConfig",
    "DatasetConfig",
    "Fraction",
    "HeldOutConfig",
    "LoraConfig",
    "Positive",
    "PreflightConfig",
    "RehearsalConfig",
    "RunConfig",
    "StageAConfig",
    "StageConfig",
    "StageLossConfig",
    "Strict",
    "TrackingConfig",
    "WorldConfig",
    "load_run_config",
    "parse_run_config",
]
