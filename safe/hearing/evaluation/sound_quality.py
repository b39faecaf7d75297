"""Degradation of sounds, to evaluate the robustness of a model or gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import soxr

Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """One degradation.

    Attributes:
        name: name in tables and plots.
        kind: conditions of one kind differ only in their level.
        level: dB, share of the peak or Hz; None if the kind has no levels.
        degrade: maps a waveform (n,) and a random generator to a waveform (n,).
    """

    name: str
    kind: str
    level: float | None
    degrade: Degrade


def add_noise(wave: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """Add white noise at a signal-to-noise ratio, defined by mean powers.

    The result is scaled down if it exceeds full scale.
    """
    noise = rng.standard_normal(len(wave))
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    noise *= np.sqrt(power / 10 ** (snr_db / 10) / np.mean(noise**2))
    return _within_full_scale(wave + noise)


def clip(wave: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Clip at a share of the peak and rescale to the original peak."""
    peak = float(np.abs(wave).max())
    return (np.clip(wave, -share * peak, share * peak) / share).astype(np.float32)


def band_limit(wave: np.ndarray, rng: np.random.Generator, rate: int, lower: int) -> np.ndarray:
    """Resample to `lower` Hz and back; the length stays the same."""
    back = soxr.resample(soxr.resample(wave, rate, lower), lower, rate)
    found = np.zeros_like(wave, dtype=np.float32)
    found[: len(back)] = back[: len(wave)]
    return _within_full_scale(found)


def noise_alone(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return white noise with the length and mean power of the sound."""
    noise = rng.standard_normal(len(wave))
    power = np.mean(np.square(wave, dtype=np.float64))
    return _within_full_scale(noise * np.sqrt(power / np.mean(noise**2)))


def unchanged(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sound."""
    return wave


def sweep(
    rate: int, *, snr_db: Sequence[float], clipping: Sequence[float], sampling_rates: Sequence[int]
) -> list[Condition]:
    """Return the unchanged condition, then all others, from mild to strong within each kind.

    Args:
        rate: sampling rate of the waveforms in Hz; `sampling_rates` that are not below it are left
            out.
    """
    noises = (
        Condition(f"noise {snr:g} dB", "noise", snr, partial(add_noise, snr_db=snr))
        for snr in sorted(snr_db, reverse=True)
    )
    clipped = (
        Condition(f"clipped at {c:g} of peak", "clipping", c, partial(clip, share=c))
        for c in sorted(clipping, reverse=True)
    )
    slower = (
        Condition(f"{r} Hz", "sampling rate", r, partial(band_limit, rate=rate, lower=r))
        for r in sorted(sampling_rates, reverse=True)
        if r < rate
    )
    recorded = Condition("as recorded", "as recorded", None, unchanged)
    return [recorded, *noises, *clipped, *slower]


def _within_full_scale(wave: np.ndarray) -> np.ndarray:
    peak = float(np.abs(wave).max(initial=0.0))
    scaled: np.ndarray = (wave / max(1.0, peak)).astype(np.float32)
    return scaled
