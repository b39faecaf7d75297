"""What the manifest records of a sound: level, SNR, when something sounds, and a fingerprint.

All work on one log-mel spectrogram of the sound at 8 kHz (25 ms windows every 10 ms), so that the
same recording at another rate, gain or codec gives nearly the same numbers.
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
SILENT_DB = -70.0  # dBFS: below this nothing sounds

Float = NDArray[np.float32]


class AudioFeatures(NamedTuple):
    """Of one sound.

    Attributes:
        rms_db: level in dBFS.
        snr_db: level while something sounds over the level while nothing does; NaN when one of
            the two never happens (an estimate: what never stops counts as noise).
        activity: intervals in seconds during which something sounds.
        fingerprint: unit vector of `FINGERPRINT_TIME * BANDS` float32; tells copies.
        timbre: `3 * BANDS` float32; tells kinds of sound, see `describe_timbre`.
    """

    rms_db: float
    snr_db: float
    activity: list[tuple[float, float]]
    fingerprint: Float
    timbre: Float


def _mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0))


@cache
def _filters() -> Float:
    """(FFT // 2 + 1, BANDS) triangular filters, even on the HTK mel scale, each of unit area."""
    edges = np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), BANDS + 2)
    edges = 700.0 * (10 ** (edges / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(FFT, 1 / RATE)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rise, fall))
    # The lowest bands are narrower than a bin: give such a band its nearest bin.
    empty = filters.sum(0) == 0
    filters[np.abs(bins - edges[1:-1]).argmin(0)[empty], np.flatnonzero(empty)] = 1.0
    return (filters / filters.sum(0)).astype(np.float32)


def log_mel(wave: Float) -> Float:
    """(frames, BANDS) power in dB of a sound at 8 kHz; at least one frame."""
    if len(wave) < WINDOW:
        wave = np.pad(wave, (0, WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    window = np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, FFT)) ** 2 / (window**2).sum() / FFT
    return (10 * np.log10(power.astype(np.float32) @ _filters() + 1e-12)).astype(np.float32)


def _smooth(active: NDArray[np.bool_], gap: int, least: int) -> list[tuple[int, int]]:
    """Runs of True, joined over gaps shorter than `gap`, dropped when shorter than `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [run for run in runs if run[1] - run[0] >= least]


def detect_activity(mel: Float, above_db: float = 9.0, range_db: float = 30.0) -> NDArray[np.bool_]:
    """(frames,) whether something sounds.

    A frame is active when at least four bands stand `above_db` over their own noise floor (the
    10th percentile in time) and within `range_db` of the loudest the sound gets. A sound that
    never stops has no floor to stand over: one that is not silent is then active throughout.
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
    """A unit vector that re-encoding, resampling, gain and padding hardly change.

    The stretch that holds all but 1 % of the energy at either end is cut into `FINGERPRINT_TIME`
    equal parts, each the mean dB spectrum (clipped `FINGERPRINT_DB` under the peak, where codecs
    keep nothing); the mean over time of each band goes, which removes gain and equalisation.
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


def describe_timbre(mel: Float, active: NDArray[np.bool_]) -> Float:
    """Over the active frames, by band: mean level, its spread, and the spread of its change.

    The mean over bands is taken from the levels, so gain does not count. Scaled so that plain
    distances between two sounds' values are comparable.
    """
    if active.sum() < 3:
        active = np.ones(len(mel), bool)
    mel = np.maximum(mel, mel.max() - 60.0)
    level = mel[active].mean(axis=0)
    change = np.diff(mel, axis=0)[active[1:]] if active[1:].any() else np.zeros((1, BANDS))
    parts = ((level - level.mean()) / 10, mel[active].std(axis=0) / 10, change.std(axis=0) / 5)
    return np.concatenate(parts).astype(np.float32)


def describe_audio(wave: Float, rate: int) -> AudioFeatures:
    """Features of a mono sound of any rate."""
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
    fingerprint, timbre = make_fingerprint(mel), describe_timbre(mel, raw)
    return AudioFeatures(rms_db, snr_db, activity, fingerprint, timbre)
