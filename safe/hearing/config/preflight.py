"""Settings of the data audit."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from safe.hearing.config.basis import Fraction, Positive, Strict


class PreflightConfig(Strict):
    """Experiment 01."""

    alignment_pairs: Positive = 1000
    """Pairs of picture and sound that are compared."""

    near_image_similarity: Fraction = 0.98
    """Correlation of thumbnails from which two pictures are copies."""

    near_audio_similarity: Fraction = 0.8
    """Similarity of audio fingerprints from which two sounds are compared further."""

    near_audio_correlation: Fraction = 0.88
    """Correlation of their waveforms from which they are copies."""

    near_text_similarity: float = Field(default=0.8, gt=0, lt=1)
    """Similarity of words from which two texts are near duplicates; equal texts always are."""

    recall_copies: Positive = 100
    """Copies of each kind that are made to measure the detectors' recall."""

    verdict_file: Path | None = None
    """A person's signed spot-check verdicts."""

    batches: int = Field(default=200, ge=1)
    """Batches drawn for each stage of the curriculum."""
