"""Sounds of the miniature world: mixtures with known events and known noise level.

Every event is audible from its start to its end (strokes are repeated, tones held), so the
annotated times can be measured in the waveform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from safe.hearing.miniature.world.scene import INSTRUMENTS, Difficulty
from safe.hearing.miniature.world.voices import RATE, VOICES

Array = np.ndarray[Any, np.dtype[Any]]

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
MIN_GAP = 0.25  # minimum seconds between two onsets, so that their order is clear


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A sound of `SOUNDS` from `start` to `end` seconds, at a relative level of `level_db` dB."""

    label: str
    start: float
    end: float
    level_db: float


@dataclass(frozen=True, slots=True)
class Sound:
    """Events in order of onset over 2 s, and the level of the distractor noise.

    `snr_db` is the ratio in dB of the events' power while they sound to the noise's power.
    """

    events: tuple[SoundEvent, ...]
    snr_db: float

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the events, in order of onset."""
        return tuple(event.label for event in self.events)


def draw_sound(
    rng: np.random.Generator, difficulty: Difficulty, labels: Sequence[str] | None = None
) -> Sound:
    """Draw the events of a sound and its noise level.

    Args:
        labels: the sounds, in order of onset; by default one to three different ones, more for
            higher difficulties.

    Raises:
        ValueError: a label is unknown, or there are more than three.
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
        last = DURATION - MARGIN - lengths  # latest possible onsets
        room = last[-1] - MARGIN - MIN_GAP * (count - 1)
        onsets = MARGIN + np.sort(rng.uniform(0, room, count)) + MIN_GAP * np.arange(count)
        if count > 1 and rng.random() < 0.6:  # a sequence without overlap, if it fits
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
    """Synthesize the waveform of `sound`, (32000,) float32 in -1..1 at 16 kHz."""
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


def _distractor(rng: np.random.Generator) -> Array:
    """Low rumble and mains hum with unit power; dissimilar to all `SOUNDS`."""
    corner, slope = np.float32(rng.uniform(120, 400)), np.float32(rng.uniform(1.2, 2.0))
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE).astype(np.float32)
    spectrum = rng.standard_normal(2 * len(hertz), np.float32).view(np.complex64)
    noise = np.fft.irfft(spectrum / (1 + (hertz / corner) ** slope), SAMPLES).astype(np.float32)
    turn = np.float32(2 * math.pi * rng.uniform(48, 62) / RATE)
    hum = np.sin(turn * np.arange(SAMPLES, dtype=np.float32))
    noise = noise / noise.std() + np.float32(rng.uniform(0, 0.8)) * hum
    return noise / np.sqrt(np.mean(noise**2))
