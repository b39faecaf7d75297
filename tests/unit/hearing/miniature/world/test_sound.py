"""Sounds: times of events and noise level agree with the truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.miniature.world.scene import DIFFICULTIES
from safe.hearing.miniature.world.sound import (
    DURATION,
    MARGIN,
    MIN_GAP,
    SAMPLES,
    SNR_DB,
    SOUNDS,
    Sound,
    draw_sound,
    synthesize,
)
from safe.hearing.miniature.world.voices import RATE, VOICES


@given(st.integers(0, 2**32), st.sampled_from(DIFFICULTIES))
def test_events_are_ordered_separate_and_inside_the_clip(seed, difficulty) -> None:
    sound = draw_sound(np.random.default_rng(seed), difficulty)
    onsets = [event.start for event in sound.events]
    assert all(b - a >= MIN_GAP - 0.002 for a, b in itertools.pairwise(onsets))
    assert min(onsets) >= MARGIN - 0.001
    assert max(event.end for event in sound.events) <= DURATION - MARGIN + 0.001
    assert len(set(sound.labels)) == len(sound.labels)
    low, high = SNR_DB[difficulty]
    assert low - 0.01 <= sound.snr_db <= high + 0.01


@given(st.lists(st.sampled_from(SOUNDS), max_size=3, unique=True), st.integers(0, 99))
def test_requested_labels_keep_their_order(labels, seed) -> None:
    assert draw_sound(np.random.default_rng(seed), "hard", labels).labels == tuple(labels)


@pytest.mark.parametrize("labels", [["harp"], list(SOUNDS[:4])])
def test_unknown_or_too_many_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="at most 3"):
        draw_sound(np.random.default_rng(0), "easy", labels)


@pytest.mark.parametrize("label", SOUNDS)
def test_sound_is_finite_bounded_and_reproducible(label: str) -> None:
    for seed in range(10):
        sound = draw_sound(np.random.default_rng(seed), "easy", [label])
        wave = synthesize(sound, np.random.default_rng(seed))
        assert wave.shape == (SAMPLES,)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.4 < np.abs(wave).max() <= 0.9001
        assert np.array_equal(wave, synthesize(sound, np.random.default_rng(seed)))


@pytest.mark.parametrize("label", SOUNDS)
def test_every_voice_fills_its_event(label: str) -> None:
    """No tenth of an event is more than 35 dB below the event's level."""
    for seed in range(10):
        tone = VOICES[label](RATE, np.random.default_rng(seed))
        power = (tone.astype(float) ** 2).reshape(10, -1).mean(axis=1)
        assert 10 * np.log10(power / power.mean()).min() > -35


def test_noise_has_the_stated_level() -> None:
    for seed in range(20):
        sound = draw_sound(np.random.default_rng(seed), "hard")
        wave = synthesize(sound, np.random.default_rng(seed)).astype(float)
        time = np.arange(SAMPLES) / RATE
        active = np.any([(e.start <= time) & (time < e.end) for e in sound.events], axis=0)
        both, noise = (wave[active] ** 2).mean(), (wave[~active] ** 2).mean()
        # The noise between events is a sample of the whole noise, accurate to 2.5 dB.
        assert 10 * np.log10(both / noise - 1) == pytest.approx(sound.snr_db, abs=2.5)


def test_noise_without_events_is_a_valid_sound() -> None:
    wave = synthesize(Sound((), 10.0), np.random.default_rng(0))
    assert np.abs(wave).max() > 0.4
