"""Activity, levels and fingerprints of sounds."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from safe.hearing.data.audio_features import describe_audio, log_mel
from tests.tiny_data import RATE, tone


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.1, 0.9), st.floats(0.3, 0.9), st.floats(200, 900), st.floats(0.02, 1.0),
    st.sampled_from([8000, 16000, 22050]),
)  # fmt: skip
def test_activity_is_where_the_tone_is(start, length, hertz, gain, rate):
    wave = tone(hertz, 2.0, start, start + length) * np.float32(gain)
    wave = soxr.resample(wave, RATE, rate).astype(np.float32)
    ((first, last),) = describe_audio(wave, rate).activity
    assert abs(first - start) < 0.06
    assert abs(last - (start + length)) < 0.06


def test_level_and_snr_of_known_signals():
    t = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)
    sine = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    assert describe_audio(sine, RATE).rms_db == pytest.approx(10 * np.log10(0.125), abs=0.01)
    noise = rng.normal(0, 1, len(t)).astype(np.float32)
    burst = (noise * np.where((t > 0.5) & (t < 1.2), 0.2, 0.02)).astype(np.float32)
    # Ten times the amplitude: 20 dB above the noise, minus the noise itself.
    assert describe_audio(burst, RATE).snr_db == pytest.approx(10 * np.log10(99), abs=1.0)


def test_silence_has_no_activity_and_a_steady_tone_is_active_throughout():
    assert describe_audio(np.zeros(RATE, np.float32), RATE).activity == []
    steady = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    ((first, last),) = describe_audio(steady, RATE).activity
    assert first < 0.05
    assert last > 0.95


def test_mel_spectrum_of_a_tone_peaks_at_its_band():
    from safe.hearing.data.audio_features import BANDS, HIGH_HZ, LOW_HZ

    def mel(hertz):  # O'Shaughnessy's formula, independent of the code under test
        return 1127.01048 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(LOW_HZ), mel(HIGH_HZ), BANDS + 2)
    for hertz in (300, 1000, 2500):
        wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
        found = int(log_mel(wave).mean(axis=0).argmax())
        assert abs(found - int(np.abs(edges[1:-1] - mel(hertz)).argmin())) <= 1


@pytest.mark.parametrize("kind", ["MP3", "OGG", "rate", "gain", "padding"])
def test_fingerprint_survives_re_encoding_and_distinguishes_sounds(kind):
    def sweep(seed):
        rng = np.random.default_rng(seed)
        pitch = np.repeat(rng.uniform(200, 2000, 10), RATE // 5)
        return (0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)).astype(np.float32)

    wave, rate = sweep(1), RATE
    own = describe_audio(wave, RATE).fingerprint
    assert np.linalg.norm(own) == pytest.approx(1, abs=1e-5)
    if kind in ("MP3", "OGG"):
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, RATE, format=kind)
        buffer.seek(0)
        copy, rate = soundfile.read(buffer, dtype="float32")
    elif kind == "rate":
        copy, rate = soxr.resample(wave, RATE, 22050).astype(np.float32), 22050
    elif kind == "gain":
        copy = wave * np.float32(0.1)
    else:
        copy = np.concatenate((np.zeros(RATE // 4, np.float32), wave))
    assert own @ describe_audio(copy, rate).fingerprint > 0.95
    assert own @ describe_audio(sweep(2), RATE).fingerprint < 0.5


@pytest.mark.parametrize("samples", [1, 50, 199, 201])
def test_very_short_sounds_are_described(samples):
    found = describe_audio(np.full(samples, 0.3, np.float32), RATE)
    assert np.isfinite(found.fingerprint).all()
    assert np.isfinite(found.timbre).all()
