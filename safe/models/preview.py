"""A glance at a sound that costs next to nothing: what a gate may know before it listens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safe.errors import ModelError

NAMES = ("loudness", "peak", "crossings", "change")
FLOOR = 1e-6  # -120 dB of full scale


def preview(waves: Sequence[np.ndarray | None], rate: int) -> np.ndarray:
    """(B, 4) float64 of mono waveforms: one pass over the samples, no transform.

    Loudness (root mean square) and peak in dB of full scale; zero crossings in kHz; and how much
    the loudness of the second half differs from that of the first, in dB.

    Raises:
        ModelError: a row has no waveform, or one that is empty or not finite.
    """
    found = np.empty((len(waves), len(NAMES)))
    for row, wave in enumerate(waves):
        if wave is None or wave.ndim != 1 or wave.size < 2 or not np.isfinite(wave).all():
            raise ModelError(
                f"row {row} has no sound to glance at",
                mend="give waveforms, or gate such rows without a preview",
            )
        halves = [
            _decibel(float(np.sqrt(np.mean(h.astype(np.float64) ** 2)))) for h in _halves(wave)
        ]
        loud = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
        crossings = np.count_nonzero(np.signbit(wave[1:]) != np.signbit(wave[:-1]))
        found[row] = (
            _decibel(loud),
            _decibel(float(np.abs(wave).max())),
            crossings / (wave.size / rate) / 1000,
            halves[1] - halves[0],
        )
    return found


def _halves(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = wave.size // 2
    return wave[:middle], wave[middle:]


def _decibel(value: float) -> float:
    return 20 * float(np.log10(max(value, FLOOR)))
