"""Degraded sounds: level of each degradation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.hearing.evaluation.sound_quality import add_noise, band_limit, clip, noise_alone, sweep

RATE = 16_000


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tone(hertz, amplitude=0.5, seconds=1.0):
    t = np.arange(int(RATE * seconds)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.floats(-10, 30), st.floats(0.01, 1.0))
def test_noise_has_the_requested_snr(snr, amplitude):
    wave = tone(440, amplitude)
    noisy = add_noise(wave, np.random.default_rng(1), snr).astype(np.float64)
    gain = noisy @ wave / (wave @ wave)  # the result may have been scaled down
    rest = noisy - gain * wave
    measured = 10 * np.log10((gain * wave) @ (gain * wave) / (rest @ rest))
    assert measured == pytest.approx(snr, abs=0.3)
    assert np.abs(noisy).max() <= 1.0


def test_clipping_flattens_and_keeps_the_peak(rng):
    wave = tone(440)
    cut = clip(wave, rng, 0.1)
    assert np.abs(cut).max() == pytest.approx(np.abs(wave).max(), rel=1e-5)
    flat = np.abs(cut) > 0.999 * np.abs(cut).max()
    assert flat.mean() == pytest.approx(1 - 2 * np.arcsin(0.1) / np.pi, abs=0.02)


def test_lower_sampling_rate_removes_high_frequencies(rng):
    low, high = tone(500), tone(5000)
    found = band_limit(low + high, rng, RATE, 4000)
    assert len(found) == len(low)
    spectrum = np.abs(np.fft.rfft(found))
    assert spectrum[5000] < 1e-3 * spectrum[500]
    assert spectrum[500] == pytest.approx(np.abs(np.fft.rfft(low))[500], rel=0.05)


def test_noise_alone_has_the_power_of_the_sound_and_no_correlation(rng):
    wave = tone(440, 0.1)
    noise = noise_alone(wave, rng)
    assert np.mean(noise**2) == pytest.approx(np.mean(wave**2), rel=1e-3)
    assert abs(np.corrcoef(noise, wave)[0, 1]) < 0.05


def test_sweep_starts_with_the_recording_and_gets_worse():
    found = sweep(RATE, snr_db=[0, 20], clipping=[0.1, 0.5], sampling_rates=[4000, 16_000, 8000])
    assert [(c.kind, c.level) for c in found] == [
        ("as recorded", None),
        ("noise", 20),
        ("noise", 0),
        ("clipping", 0.5),
        ("clipping", 0.1),
        ("sampling rate", 8000),
        ("sampling rate", 4000),
    ]


def test_every_condition_keeps_length_and_is_reproducible():
    wave = tone(440)
    for condition in sweep(RATE, snr_db=[0], clipping=[0.1], sampling_rates=[4000]):
        one, two = (condition.degrade(wave, np.random.default_rng(3)) for _ in range(2))
        assert one.shape == wave.shape, condition.name
        assert one.dtype == np.float32, condition.name
        assert (one == two).all(), condition.name
        assert np.isfinite(one).all(), condition.name
