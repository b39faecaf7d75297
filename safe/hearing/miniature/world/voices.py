"""Synthesizers, one per sound: each returns `count` random samples at 16 kHz, at any level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RATE = 16_000  # Hz


def _filtered(noise: Array, response: Callable[[Array], Array]) -> Array:
    """Filter `noise` with the gain `response(hertz)`; return float32 of the same length.

    The FFT length is rounded up, because prime lengths are slow.
    """
    size = -(-len(noise) // 512) * 512
    hertz = np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)
    spectrum = np.fft.rfft(noise.astype(np.float32), size) * response(hertz).astype(np.float32)
    return np.fft.irfft(spectrum, size)[: len(noise)].astype(np.float32)


def _strokes(count: int, rate_hz: float, rng: np.random.Generator, uneven: float = 0.15) -> Array:
    """Return the onsets (in samples) of strokes at about `rate_hz` over `count` samples."""
    number = max(1, round(count / RATE * rate_hz))
    places = np.arange(number) + rng.uniform(-uneven, uneven, number)
    places[0] = 0.0
    return np.clip(places / number * count, 0, count - 1).astype(int)


def _bell(count: int, rng: np.random.Generator) -> Array:
    """Repeated strokes of a church bell, with inharmonic partials."""
    pitch = rng.uniform(420, 1000)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.74, 3.76]) * rng.uniform(0.995, 1.005, 7)
    gains = np.array([0.5, 1.0, 0.8, 0.5, 0.8, 0.5, 0.35]) * rng.uniform(0.7, 1.3, 7)
    decay = rng.uniform(0.2, 0.45) / (0.6 + 0.4 * ratios)
    strokes = _strokes(count, rng.uniform(2.0, 4.5), rng, 0.3)
    longest = count - int(strokes[0])
    seconds = (np.arange(longest) / RATE).astype(np.float32)
    stroke = np.zeros(longest, np.float32)
    for ratio, gain, tau in zip(ratios, gains, decay, strict=True):
        if ratio * pitch < RATE / 2:
            turn = np.float32(2 * math.pi * ratio * pitch)
            stroke += np.float32(gain) * np.sin(turn * seconds) * np.exp(-seconds / np.float32(tau))
    wave = np.zeros(count, np.float32)
    for onset in strokes:
        wave[onset:] += np.float32(rng.uniform(0.5, 1.0)) * stroke[: count - onset]
    return wave


def _pluck(count: int, pitch: float, rng: np.random.Generator) -> Array:
    """Karplus-Strong string, with all periods computed at once.

    The averaging filter acts on a periodic signal, so in period n harmonic h has its initial
    amplitude times (damping · cos(pi h / N)) ** n.
    """
    period = max(8, round(RATE / pitch))
    spectrum = np.fft.rfft(rng.uniform(-1, 1, period))
    spectrum[0] = 0
    harmonics = np.arange(len(spectrum))
    factor = np.abs(np.cos(math.pi * harmonics / period)) * rng.uniform(0.985, 0.995)
    rounds = -(-count // period)
    gains = np.exp(np.outer(np.arange(rounds), np.log(np.maximum(factor, 1e-6))))
    return np.fft.irfft(spectrum * gains, period, axis=1).ravel()[:count].astype(np.float32)


def _guitar(count: int, rng: np.random.Generator) -> Array:
    """A few plucked notes of one scale."""
    root = rng.uniform(110, 220)
    onsets = [*_strokes(count, rng.uniform(3.5, 5.5), rng), count]
    wave = np.zeros(count, np.float32)
    for onset, until in itertools.pairwise(onsets):
        pitch = root * 2 ** (rng.choice((0, 3, 5, 7, 10, 12)) / 12)
        length = until - onset
        if length > 0:
            wave[onset:until] += _pluck(length, pitch, rng)
    return wave


def _drum(count: int, rng: np.random.Generator) -> Array:
    """Drum roll of tones with falling pitch and noisy attacks."""
    length = int(0.2 * RATE)
    seconds = (np.arange(length) / RATE).astype(np.float32)
    low, fall = rng.uniform(70, 130), rng.uniform(60, 160)
    phase = 2 * math.pi * (low * seconds + fall * 0.03 * (1 - np.exp(-seconds / 0.03)))
    tone = np.sin(phase) * np.exp(-seconds / np.float32(rng.uniform(0.05, 0.1)))
    snap = rng.standard_normal(length, np.float32) * np.exp(
        -seconds / np.float32(rng.uniform(0.008, 0.02))
    )
    stroke = (tone + rng.uniform(0.3, 0.8) * snap).astype(np.float32)
    wave = np.zeros(count + length, np.float32)
    for onset in _strokes(count, rng.uniform(6.5, 10.0), rng, 0.25):
        wave[onset : onset + length] += np.float32(rng.uniform(0.6, 1.0)) * stroke
    return wave[:count]


def _siren(count: int, rng: np.random.Generator) -> Array:
    """A held tone whose pitch rises and falls."""
    seconds = np.arange(count) / RATE
    middle, swing = rng.uniform(750, 1100), rng.uniform(0.25, 0.4)
    turn = 2 * math.pi * rng.uniform(1.2, 3.0) * seconds + rng.uniform(0, 2 * math.pi)
    wave = np.sin(turn) if rng.random() < 0.6 else np.tanh(4 * np.sin(turn))
    phase = (2 * math.pi / RATE) * np.cumsum(middle * (1 + swing * wave)).astype(np.float64)
    phase = (phase % (2 * math.pi)).astype(np.float32)
    return (np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)).astype(np.float32)


def _rain(count: int, rng: np.random.Generator) -> Array:
    """Hissing noise with single drops."""
    drops = rng.random(count, np.float32) < rng.uniform(0.002, 0.01)
    noise = rng.standard_normal(count, np.float32) * np.where(drops, np.float32(6), np.float32(1))
    corner, tilt = rng.uniform(900, 2200), rng.uniform(-12, 3) / 20 * math.log(10) / (RATE / 2)
    hiss = _filtered(
        noise,
        lambda hertz: np.exp(tilt * hertz) / (1 + (corner / np.maximum(hertz, 1)) ** 2),
    )
    turn = np.float32(2 * math.pi * rng.uniform(0.4, 1.6) / RATE)
    swell = np.sin(turn * np.arange(count, dtype=np.float32) + np.float32(rng.uniform(0, 6)))
    return hiss * (1 + np.float32(rng.uniform(0.05, 0.35)) * swell)


VOWELS: tuple[tuple[float, float, float], ...] = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)  # first three formants, Hz (Peterson and Barney 1952, men)


def _speech(count: int, rng: np.random.Generator) -> Array:
    """Syllables: a hiss, then a voiced pulse train through three formants."""
    pitch, tract = rng.uniform(95, 230), rng.uniform(0.92, 1.2)
    onsets = [*_strokes(count, rng.uniform(3.5, 5.5), rng), count]
    wave = np.zeros(count, np.float32)
    for onset, until in itertools.pairwise(onsets):
        length = int(until - onset)
        if length < 64:
            continue
        glide = np.linspace(rng.uniform(0.95, 1.15), rng.uniform(0.8, 1.0), length)
        cycles = np.cumsum(pitch * glide / RATE)
        pulses = np.diff(np.floor(cycles), prepend=0.0)
        formants = VOWELS[rng.integers(len(VOWELS))]

        def response(hertz: Array, formants: tuple[float, ...] = formants) -> Array:
            peaks = [
                gain / (1 + ((hertz - hz * tract) / (60 + 0.04 * hz)) ** 2)
                for hz, gain in zip(formants, (1.0, 0.6, 0.35), strict=True)
            ]
            return sum(peaks[1:], peaks[0])

        voiced = _filtered(pulses, response)
        voiced *= np.sin(math.pi * np.linspace(0.02, 0.98, length, dtype=np.float32))
        hiss = np.diff(rng.standard_normal(length, np.float32), prepend=np.float32(0))
        hiss *= np.exp(-np.arange(length) / (rng.uniform(0.01, 0.03) * RATE))
        scale = float(np.abs(voiced).max()) + 1e-9
        wave[onset:until] += (voiced / scale + rng.uniform(0.02, 0.1) * hiss).astype(np.float32)
    return wave


VOICES: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "bell": _bell,
    "guitar": _guitar,
    "drum": _drum,
    "siren": _siren,
    "rain": _rain,
    "speech": _speech,
}
