"""Settings of experiment 07."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from safe.hearing.config.basis import Positive
from safe.pipeline.config import Settings


class EvaluationSettings(Settings):
    """Experiment 07."""

    section = "evaluation"

    moved = MappingProxyType(
        {"min_drop": "safe/hearing/experiments/evaluation_harness/lomo.py, for all runs alike"}
    )

    references: Path = Path("config/references.yaml")
    """Table of figures to reproduce, each with source and tolerance."""

    max_new_tokens: Positive = 8
    """Tokens of an answer."""

    audio_items: Positive = 1000
    """Questions that need their sound, at most."""

    vl_items: Positive = 2500
    """Questions about a picture alone, at most; resolving 0.5 points needs many."""

    repeated_items: Positive = 192
    """Questions asked again, in another order and in other batches."""

    sweep_items: Positive = 500
    """Questions asked in every condition of the sound."""

    snr_db: list[float] = Field(default=[20.0, 10.0, 0.0, -10.0], min_length=2)
    """Signal-to-noise ratios, in dB."""

    clipping: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.3, 0.03], min_length=1)
    """Clipping levels, as a share of the peak."""

    sampling_rates: list[Positive] = Field(default=[8000, 4000, 2000], min_length=1)
    """Sampling rates, in Hz."""

    caption_reference: Path | None = None
    """CSV whose official scores are known, `data/example_1.csv` of aac-metrics, if at hand."""
