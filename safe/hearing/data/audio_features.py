"""Audio features for the manifest: level, SNR, activity intervals, fingerprint and timbre.

All but the level use one log-mel spectrogram of the sound at 8 kHz (25 ms windows every 10 ms), so
that the same recording at another rate, gain or codec gives similar values.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE = 8000  # Hz
WINDOW, HOP, FFT = 200, 80, 256
BANDS = 32
LOW_HZ, HIGH_HZ = 60.0, 3800.0
FINGERPRINT_TIME = 32  # segments of the fingerprint
FINGERPRINT_DB = 25.0
CUTS = ((0.0, 0.9), (0.1, 1.0), (0.05, 0.95), (0.1, 0.9))  # copies are often cut at their ends
SILENT_DB = -70.0  # dBFS; below this a sound is silent

Float = NDArray[np.float32]


class AudioFeatures(NamedTuple):
    """Features of one sound.

    Attributes:
        rms_db: level in dBFS.
        snr_db: estimated SNR in dB, from the power of active and inactive frames; NaN if all
            frames or none are active. A sound that never stops counts as noise.
        activity: active intervals in seconds.
        fingerprint: unit vector of `FINGERPRINT_TIME * BANDS` float32, to detect copies.
        cut_fingerprints: (len(CUTS), ...) the same of parts of the sound.
        timbre: `3 * BANDS` float32, to compare kinds of sound; see `describe_timbre`.
    """

    rms_db: float
    snr_db: float
    activity: list[tuple[float, float]]
    fingerprint: Float
    cut_fingerprints: Float
    timbre: Float


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0))


@cache
def _filters() -> Float:
    """(FFT // 2 + 1, BANDS) triangular filters, evenly spaced on the HTK mel scale, unit area."""
    edges = np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), BANDS + 2)
    edges = 700.0 * (10 ** (edges / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(FFT, 1 / RATE)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rise, fall))
    # The lowest bands can be narrower than a bin; such a band gets its nearest bin.
    empty = filters.sum(0) == 0
    filters[np.abs(bins - edges[1:-1]).argmin(0)[empty], np.flatnonzero(empty)] = 1.0
    return (filters / filters.sum(0)).astype(np.float32)


def log_mel(wave: Float) -> Float:
    """Return (frames, BANDS) power in dB of a sound at 8 kHz; at least one frame."""
    if len(wave) < WINDOW:
        wave = np.pad(wave, (0, WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    window = np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, FFT)) ** 2 / (window**2).sum() / FFT
    return (10 * np.log10(power.astype(np.float32) @ _filters() + 1e-12)).astype(np.float32)


def _smooth(active: NDArray[np.bool_], gap: int, least: int) -> list[tuple[int, int]]:
    """Return runs of True, joined over gaps shorter than `gap`, without runs under `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [run for run in runs if run[1] - run[0] >= least]


def detect_activity(mel: Float, above_db: float = 9.0, range_db: float = 30.0) -> NDArray[np.bool_]:
    """Return (frames,) bool: whether each frame is active.

    A frame is active if at least four bands exceed their noise floor (the 10th percentile over
    time) by `above_db` and are within `range_db` of the peak level. A sound that never stops has
    no noise floor: if under 5 % of frames are active, only the distance to the peak decides.
    """
    floor = np.percentile(mel, 10, axis=0)
    peak = np.percentile(mel.max(axis=1), 95)
    if peak < SILENT_DB:
        return np.zeros(len(mel), bool)
    loud = (mel > floor + above_db) & (mel > peak - range_db) & (mel > SILENT_DB)
    active = loud.sum(axis=1) >= 4
    if active.mean() < 0.05:
        return mel.max(axis=1) > max(peak - range_db, SILENT_DB)
    return active


def make_fingerprint(mel: Float) -> Float:
    """Return a unit vector that is robust to re-encoding, resampling, gain and padding.

    The sound without 1 % of the energy at either end is divided into `FINGERPRINT_TIME` equal
    segments. Each segment gives its mean dB spectrum, clipped `FINGERPRINT_DB` below the peak,
    where codecs discard content. Subtracting each band's mean over time removes gain and
    equalisation.
    """
    energy = np.cumsum(np.sum(10 ** (mel.astype(np.float64) / 10), axis=1))
    first, last = np.interp(
        energy[-1] * np.array([0.01, 0.99]),
        np.concatenate(([0.0], energy)),
        np.arange(len(mel) + 1),
    )
    mel = np.maximum(mel, mel.max() - FINGERPRINT_DB)
    edges = np.linspace(first, last, FINGERPRINT_TIME + 1)
    cumulative = np.concatenate((np.zeros((1, BANDS)), np.cumsum(mel, axis=0, dtype=np.float64)))
    whole = np.minimum(edges.astype(int), len(mel) - 1)
    at = cumulative[whole] + (edges - whole)[:, None] * mel[whole]
    parts = np.diff(at, axis=0) / max(edges[1] - edges[0], 1e-6)
    parts -= parts.mean(axis=0)
    norm = float(np.linalg.norm(parts))
    return (parts / norm if norm > 1e-6 else parts * 0).astype(np.float32).ravel()


def _part(mel: Float, start: float, end: float) -> Float:
    """At least one frame from a part of the sound."""
    first = int(start * len(mel))
    return mel[first : max(first + 1, round(end * len(mel)))]


def describe_timbre(mel: Float, active: NDArray[np.bool_]) -> Float:
    """Return, per band over active frames: mean level, its SD, and the SD of its change.

    The mean over bands is subtracted from the levels, so gain has no effect. The three groups are
    scaled so that Euclidean distances between sounds are meaningful.
    """
    if active.sum() < 3:
        active = np.ones(len(mel), bool)
    mel = np.maximum(mel, mel.max() - 60.0)
    level = mel[active].mean(axis=0)
    change = np.diff(mel, axis=0)[active[1:]] if active[1:].any() else np.zeros((1, BANDS))
    parts = ((level - level.mean()) / 10, mel[active].std(axis=0) / 10, change.std(axis=0) / 5)
    return np.concatenate(parts).astype(np.float32)


def describe_audio(wave: Float, rate: int) -> AudioFeatures:
    """Compute the features of a mono sound at any sampling rate (Hz)."""
    if rate != RATE:
        import soxr

        wave = soxr.resample(wave, rate, RATE).astype(np.float32)
    rms_db = 10 * float(np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12))
    mel = log_mel(wave)
    raw = detect_activity(mel)
    runs = _smooth(raw, gap=15, least=4)
    active = np.zeros(len(mel), bool)
    for start, end in runs:
        active[start:end] = True
    snr_db = float("nan")
    if active.any() and not active.all():
        power = np.mean(10 ** (mel / 10), axis=1)
        quiet = float(power[~active].mean())
        snr_db = 10 * float(np.log10(max(power[active].mean() - quiet, 1e-12) / (quiet + 1e-12)))
    seconds = HOP / RATE
    length = len(wave) / RATE
    activity = [
        (round(start * seconds, 3), round(min(end * seconds + 0.015, length), 3))
        for start, end in runs
    ]
    cuts = np.stack([make_fingerprint(_part(mel, start, end)) for start, end in CUTS])
    timbre = describe_timbre(mel, raw)
    return AudioFeatures(rms_db, snr_db, activity, make_fingerprint(mel), cuts, timbre)
