"""Near copies of sounds: re-encoded, resampled, softer, padded, cut, or played faster or slower.

Fingerprints give the candidates; a comparison of the waveforms at 8 kHz confirms them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from safe.hearing.data.decode import Waveform

COMPARE_RATE = 8000  # Hz
EMPHASIS = 0.8  # of the first-order high-pass; different voices share their lowest partials
BLOCK = 2048  # fingerprints compared at once
OVERLAP = 0.8  # of the shorter sound, and half of each sound's energy, must be in both
FRACTIONS = 4  # shifts per sample
SPEED_STEP = 0.0025
SPEEDS = tuple(round(0.95 + SPEED_STEP * step, 4) for step in range(41))
SPEED_BLOCK, SPEED_SHIFT = 1000, 960  # samples: an eighth of a second, and 0.12 s
ALIKE = 0.9  # cosine of the fingerprints; a speed 2 % off leaves 0.92 or more
# Two utterances of a vowel can correlate by 0.9; copies that were cut or resampled, by 0.96.
CLEAR = 0.95
# Copies of 40 sounds of the miniature world and of 40 spoken digits have 0.71 or more.
SPEED_CORRELATION = 0.65


def find_candidates(
    left: NDArray[np.float32], right: NDArray[np.float32], threshold: float
) -> dict[tuple[int, int], float]:
    """Return pairs of sounds of which one resembles the other, or a part of it.

    Args:
        left, right: (n, 1 + cuts, size) and (m, 1 + cuts, size) fingerprints; the first of each
            sound is that of the whole.
        threshold: least cosine of their fingerprints.

    Returns:
        (i, j) -> cosine of the fingerprints of the whole sounds.
    """
    found: dict[tuple[int, int], float] = {}
    for cut in range(left.shape[1]):
        for i, j in _similar(left[:, cut], right[:, 0], threshold):
            found[i, j] = float(left[i, 0] @ right[j, 0])
        for i, j in _similar(left[:, 0], right[:, cut], threshold):
            found[i, j] = float(left[i, 0] @ right[j, 0])
    return found


def confirm(first: Waveform, second: Waveform, likeness: float, correlation: float) -> float | None:
    """Return the correlation of two copies, or None if the sounds differ.

    Args:
        first, second: at `COMPARE_RATE`.
        likeness: cosine of the fingerprints of the whole sounds.
        correlation: least correlation of copies at the same speed.
    """
    score = waveform_correlation(first, second)
    if score >= CLEAR or (score >= correlation and likeness >= ALIKE):
        return score
    if likeness >= ALIKE:
        score = speed_correlation(first, second)
        if score >= CLEAR:
            return score
    return None


def _similar(
    left: NDArray[np.float32], right: NDArray[np.float32], threshold: float
) -> Iterator[tuple[int, int]]:
    for top in range(0, len(left), BLOCK):
        for side in range(0, len(right), BLOCK):
            cosine = left[top : top + BLOCK] @ right[side : side + BLOCK].T
            for i, j in np.argwhere(cosine >= threshold):
                yield top + int(i), side + int(j)


def waveform_correlation(first: Waveform, second: Waveform) -> float:
    """Return the largest correlation of two sounds over all shifts, normalised by their overlap.

    Shifts are in quarters of a sample: a copy that was cut at another rate is rarely a whole number
    of samples away.

    Args:
        first, second: at `COMPARE_RATE`.
    """
    one, two = _emphasised(first), _emphasised(second)
    size = 1 << (len(one) + len(two)).bit_length()
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(two, size))
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size) / FRACTIONS)
    shifts = np.arange(1 - len(two), len(one))
    products = np.full(len(shifts), -np.inf)
    for _ in range(FRACTIONS):
        np.maximum(products, np.fft.irfft(spectrum, size)[shifts % size], out=products)
        spectrum = spectrum * turn
    start, end = np.maximum(shifts, 0), np.minimum(shifts + len(two), len(one))
    powers = [_cumulated_power(wave) for wave in (one, two)]
    within = [
        powers[0][end] - powers[0][start],
        powers[1][end - shifts] - powers[1][start - shifts],
    ]
    enough = end - start >= OVERLAP * min(len(one), len(two))
    for power, part in zip(powers, within, strict=True):
        enough &= part >= power[-1] / 2
    norm = np.sqrt(within[0] * within[1])
    enough &= norm > 1e-9
    return float((products[enough] / norm[enough]).max(initial=0.0))


def speed_correlation(first: Waveform, second: Waveform) -> float:
    """Return the largest correlation of two sounds at any of many speeds; 0 if it is low.

    A speed that is slightly off moves the waveform by several periods over the length of a sound.
    The speed is therefore found with short blocks, and then refined to a sample over the length.

    Args:
        first, second: at `COMPARE_RATE`.
    """
    other = _emphasised(second)
    found = [_block_correlation(_emphasised(_at_speed(first, s)), other) for s in SPEEDS]
    near = SPEEDS[int(np.argmax(found))]
    if max(found) < SPEED_CORRELATION:
        return 0.0
    steps = 2 + int(SPEED_STEP * len(first))
    finer = np.linspace(near - SPEED_STEP / 2, near + SPEED_STEP / 2, steps)
    return max(waveform_correlation(_at_speed(first, speed), second) for speed in finer)


def _at_speed(wave: Waveform, speed: float) -> Waveform:
    import soxr

    changed: Waveform = soxr.resample(wave, COMPARE_RATE, COMPARE_RATE * speed).astype(np.float32)
    return changed


def _block_correlation(one: Waveform, other: Waveform) -> float:
    from scipy.ndimage import maximum_filter1d

    edges = np.linspace(0, len(one), max(1, round(len(one) / SPEED_BLOCK)) + 1).astype(int)
    padded = np.pad(other, (SPEED_SHIFT, SPEED_SHIFT + max(0, len(one) - len(other))))
    power = _cumulated_power(padded)
    slack = 2 + int(SPEED_STEP / 2 * len(one))
    total, curve = 1e-9, np.zeros(2 * SPEED_SHIFT + 1)
    for start, end in pairwise(edges):
        block, around = one[start:end], padded[start : end + 2 * SPEED_SHIFT]
        energy = float(block @ block)
        size = 1 << (len(around) + len(block)).bit_length()
        spectrum = np.fft.rfft(around, size) * np.conj(np.fft.rfft(block, size))
        products = np.fft.irfft(spectrum, size)[: len(curve)]
        local = power[end : end + len(curve)] - power[start : start + len(curve)]
        correlation = products / np.sqrt(np.maximum(energy * local, 1e-9))
        curve += energy * maximum_filter1d(correlation, 2 * slack + 1)
        total += energy
    return float(curve.max() / total)


def _emphasised(wave: Waveform) -> Waveform:
    return wave[1:] - EMPHASIS * wave[:-1]


def _cumulated_power(wave: Waveform) -> NDArray[np.float64]:
    return np.concatenate(([0.0], np.cumsum(wave.astype(np.float64) ** 2)))
