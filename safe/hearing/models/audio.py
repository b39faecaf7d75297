"""Checks of audio inputs. Faulty audio is reported, never replaced by zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SILENT_PEAK = 1e-4  # -80 dB of full scale: below the noise floor of 16-bit recordings

# Waveforms at the audio encoder's sampling rate (None for an example without audio), or the audio
# encoder's features of all examples (all NaN for an example without audio).
Audio = Sequence[np.ndarray | None] | Tensor


def waveform_fault(waveform: np.ndarray | None) -> str | None:
    """Return why the waveform cannot be used, or None."""
    if waveform is None:
        return "no audio"
    if waveform.ndim != 1 or waveform.size == 0:
        return f"not a mono waveform: shape {waveform.shape}"
    if not np.isfinite(waveform).all():
        return "samples that are not finite"
    if float(np.abs(waveform).max()) < SILENT_PEAK:
        return "silent"
    return None


def audio_faults(audio: Audio | None, rows: list[int]) -> dict[int, str]:
    """Return index -> reason, for the examples in `rows` whose audio cannot be used."""
    if audio is None:
        return dict.fromkeys(rows, "no audio")
    if isinstance(audio, Tensor):
        whole = torch.isfinite(audio[rows].flatten(1)).all(dim=1).tolist()
        return {r: "no audio features" for r, fine in zip(rows, whole, strict=True) if not fine}
    found = {row: waveform_fault(audio[row]) for row in rows}
    return {row: fault for row, fault in found.items() if fault is not None}


def has_audio(audio: Audio | None, rows: int) -> Tensor:
    """Return (B,) bool: examples that have audio, usable or not."""
    if audio is None:
        return torch.zeros(rows, dtype=torch.bool)
    if isinstance(audio, Tensor):
        return torch.isfinite(audio.flatten(1)).any(dim=1).cpu()
    return torch.tensor([wave is not None for wave in audio], dtype=torch.bool)
