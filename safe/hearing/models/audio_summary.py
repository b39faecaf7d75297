"""Cheap statistics of a waveform, for gates to use before the audio encoder runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from safe.errors import ModelError

NAMES = ("loudness", "peak", "crossings", "change")
FLOOR = 1e-6  # -120 dB of full scale


def audio_summary(waves: Sequence[np.ndarray | None], rate: int) -> np.ndarray:
    """Compute (B, 4) float64 statistics of mono waveforms in one pass over the samples.

    The columns are loudness (root mean square) and peak in dB of full scale, zero crossings per
    second in kHz, and loudness of the second half minus that of the first half in dB.

    Raises:
        ModelError: a waveform is missing, not mono, not finite, or has fewer than two samples.
    """
    found = np.empty((len(waves), len(NAMES)))
    for row, wave in enumerate(waves):
        if wave is None or wave.ndim != 1 or wave.size < 2 or not np.isfinite(wave).all():
            raise ModelError(
                f"example {row} of the batch has no usable waveform",
                hint="pass waveforms, or use a gate that does not need them",
            )
        wide = wave.astype(np.float64)  # squares of a float32 overflow above 1e19
        halves = np.array_split(wide, 2)
        # No BLAS: starting its threads takes longer, and it sums in another order.
        energies = [float(np.square(half).sum()) for half in halves]
        first, second = (
            _decibel(energy / half.size) for energy, half in zip(energies, halves, strict=True)
        )
        negative = np.signbit(wave)
        crossings = np.count_nonzero(negative[1:] != negative[:-1])
        found[row] = (
            _decibel(sum(energies) / wave.size),
            _decibel(max(float(wave.max()), -float(wave.min())) ** 2),
            crossings / (wave.size / rate) / 1000,
            second - first,
        )
    return found


def _decibel(power: float) -> float:
    return 10 * float(np.log10(max(power, FLOOR**2)))
