"""Sounds of the miniature world: mixtures over time with known events and known noise level.

Every event sounds from its start to its end (strokes are repeated, tones held), so that the
truth about when something is heard is also measurable in the waveform.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.data.world.scene import INSTRUMENTS, Difficulty

Array = np.ndarray[Any, np.dtype[Any]]

RATE = 16_000  # Hz
DURATION = 2.0  # seconds
SAMPLES = int(RATE * DURATION)
SOUNDS: tuple[str, ...] = (*INSTRUMENTS, "rain", "speech")
COUNTS: dict[Difficulty, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "easy": ((1,), (1.0,)),
    "medium": ((1, 2), (0.25, 0.75)),
    "hard": ((2, 3), (0.4, 0.6)),
}
SNR_DB: dict[Difficulty, tuple[float, float]] = {
    "easy": (24.0, 36.0),
    "medium": (15.0, 24.0),
    "hard": (8.0, 15.0),
}
LENGTHS: dict[int, tuple[float, float]] = {
    1: (0.8, 1.5),
    2: (0.55, 0.85),
    3: (0.45, 0.58),
}  # seconds of an event, by the number of events
MARGIN = 0.1  # seconds of silence at both ends of a clip
MIN_GAP = 0.25  # seconds between two onsets, so that "first" means something


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A sound of `SOUNDS` heard from `start` to `end` seconds, at `level_db` below full level."""

    label: str
    start: float
    end: float
    level_db: float


@dataclass(frozen=True, slots=True)
class Sound:
    """Events in order of onset over 2 s, and the level of the distractor noise.

    `snr_db` is the power of the events while they sound, over the power of the noise, in dB.
    """

    events: tuple[SoundEvent, ...]
    snr_db: float

    @property
    def labels(self) -> tuple[str, ...]:
        """What is heard, in order of onset."""
        return tuple(event.label for event in self.events)


def draw_sound(
    rng: np.random.Generator, difficulty: Difficulty, labels: Sequence[str] | None = None
) -> Sound:
    """Draw which sounds are heard, when, and under how much noise.

    Args:
        labels: exactly these sounds, in this order of onset; by default one to three different
            ones, more the harder it is.
    """
    if labels is None:
        numbers, weights = COUNTS[difficulty]
        count = int(rng.choice(numbers, p=weights))
        labels = [SOUNDS[i] for i in rng.permutation(len(SOUNDS))[:count]]
    unknown = [label for label in labels if label not in SOUNDS]
    if unknown or len(labels) > max(LENGTHS):
        raise ValueError(f"at most {max(LENGTHS)} of the sounds {SOUNDS}, not {list(labels)}")
    count = len(labels)
    events: list[SoundEvent] = []
    if count:
        lengths = rng.uniform(*LENGTHS[count], count)
        last = DURATION - MARGIN - lengths  # latest onset of each
        room = last[-1] - MARGIN - MIN_GAP * (count - 1)
        onsets = MARGIN + np.sort(rng.uniform(0, room, count)) + MIN_GAP * np.arange(count)
        if count > 1 and rng.random() < 0.6:  # a sequence rather than an overlap, if it fits
            free = DURATION - 2 * MARGIN - float(lengths.sum())
            cuts = np.sort(rng.uniform(0, max(free, 0.0), count))
            onsets = MARGIN + cuts + np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
        onsets = np.minimum(onsets, last)
        levels = rng.uniform(-6.0, 0.0, count)
        events = [
            SoundEvent(label, round(float(s), 3), round(float(s + d), 3), round(float(v), 2))
            for label, s, d, v in zip(labels, onsets, lengths, levels, strict=True)
        ]
    return Sound(tuple(events), round(float(rng.uniform(*SNR_DB[difficulty])), 2))


def synthesize(sound: Sound, rng: np.random.Generator) -> Array:
    """The waveform of `sound`, (32000,) float32 in -1..1 at 16 kHz."""
    wave = np.zeros(SAMPLES, np.float32)
    active = np.zeros(SAMPLES, bool)
    for event in sound.events:
        first, last = round(event.start * RATE), round(event.end * RATE)
        tone = VOICES[event.label](last - first, rng)
        level = 10 ** (event.level_db / 20) / (float(np.sqrt(np.mean(tone**2))) + 1e-9)
        wave[first:last] += _fade(tone) * np.float32(level)
        active[first:last] = True
    noise = _distractor(rng)
    if sound.events:
        power = float(np.mean(wave[active] ** 2))
        wave += noise * np.float32(math.sqrt(power / 10 ** (sound.snr_db / 10)))
    else:
        wave += noise
    peak = float(np.abs(wave).max())
    return (wave * np.float32(rng.uniform(0.45, 0.9) / peak)).astype(np.float32)


def _fade(tone: Array, seconds: float = 0.008) -> Array:
    count = min(int(seconds * RATE), len(tone) // 2)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    tone[:count] *= ramp
    tone[-count:] *= ramp[::-1]
    return tone


def _filtered(noise: Array, response: Callable[[Array], Array]) -> Array:
    """`noise` through a filter whose gain at `hertz` is `response(hertz)`; same length, float32.

    The transform's length is rounded up, since a prime number of samples would be slow.
    """
    size = -(-len(noise) // 512) * 512
    hertz = np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)
    spectrum = np.fft.rfft(noise.astype(np.float32), size) * response(hertz).astype(np.float32)
    return np.fft.irfft(spectrum, size)[: len(noise)].astype(np.float32)


def _distractor(rng: np.random.Generator) -> Array:
    """Low rumble and mains hum, unit power: unlike any of `SOUNDS`."""
    corner, slope = np.float32(rng.uniform(120, 400)), np.float32(rng.uniform(1.2, 2.0))
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE).astype(np.float32)
    spectrum = rng.standard_normal(2 * len(hertz), np.float32).view(np.complex64)
    noise = np.fft.irfft(spectrum / (1 + (hertz / corner) ** slope), SAMPLES).astype(np.float32)
    turn = np.float32(2 * math.pi * rng.uniform(48, 62) / RATE)
    hum = np.sin(turn * np.arange(SAMPLES, dtype=np.float32))
    noise = noise / noise.std() + np.float32(rng.uniform(0, 0.8)) * hum
    return noise / np.sqrt(np.mean(noise**2))


def _strokes(count: int, rate_hz: float, rng: np.random.Generator, uneven: float = 0.15) -> Array:
    """Onsets in samples of strokes that fill `count` samples at about `rate_hz`."""
    number = max(1, round(count / RATE * rate_hz))
    places = np.arange(number) + rng.uniform(-uneven, uneven, number)
    places[0] = 0.0
    return np.clip(places / number * count, 0, count - 1).astype(int)


def _bell(count: int, rng: np.random.Generator) -> Array:
    """Inharmonic partials of a church bell, struck a few times."""
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
    """A Karplus-Strong string, all periods at once.

    The averaging filter acts on a periodic signal, so period n is the first one with its
    harmonic h multiplied by (damping · cos(pi h / N)) ** n.
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
    """A roll of falling tones with a noisy stroke."""
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
