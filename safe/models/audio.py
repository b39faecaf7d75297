"""Can this sound be consulted at all? A faulty one is named, never turned into zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SILENT_PEAK = 1e-4  # -80 dB of full scale: below what 16-bit recordings of anything carry

# Waveforms at the ear's sampling rate (None where a row has none), or the ear's features of every
# row, with NaN throughout in the rows that have none.
Audio = Sequence[np.ndarray | None] | Tensor


def waveform_fault(waveform: np.ndarray | None) -> str | None:
    """Why the waveform cannot be consulted, or None."""
    if waveform is None:
        return "no audio"
    if waveform.ndim != 1 or waveform.size == 0:
        return f"not a mono waveform: shape {waveform.shape}"
    if not np.isfinite(waveform).all():
        return "samples that are not finite"
    if float(np.abs(waveform).max()) < SILENT_PEAK:
        return "silent"
    return None


def audio_fault(audio: Audio | None, row: int) -> str | None:
    """Why row `row` cannot be consulted, or None."""
    if audio is None:
        return "no audio"
    if isinstance(audio, Tensor):
        return None if bool(torch.isfinite(audio[row]).all()) else "no audio features"
    return waveform_fault(audio[row])


def has_audio(audio: Audio | None, rows: int) -> Tensor:
    """(B,) bool: rows that come with a sound, good or bad."""
    if audio is None:
        return torch.zeros(rows, dtype=torch.bool)
    if isinstance(audio, Tensor):
        return torch.isfinite(audio.flatten(1)).any(dim=1).cpu()
    return torch.tensor([wave is not None for wave in audio], dtype=torch.bool)
