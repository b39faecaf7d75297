"""Noisy copies of sounds: requested SNR, reproducible, none for undecodable sounds."""

import dataclasses

import numpy as np
import pytest

from safe.hearing.data.decode import load_audio
from safe.hearing.data.sample import MediaRef
from safe.hearing.training.noisy_sounds import COPIES, noisy_sounds
from tests.tiny_models import RATE
from tests.tiny_run import make_samples


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    samples = make_samples(tmp_path_factory.mktemp("media"), vl=0, audio=5)
    return [s for s in samples if s.audio is not None]


def make(clips, folder, snr_db=(6.0, 6.0), seed=0):
    return noisy_sounds(clips, folder, snr_db=snr_db, rate=RATE, seed=seed)


def test_noise_has_the_requested_snr(clips, tmp_path):
    for source, copies in make(clips, tmp_path).items():
        clip = next(c for c in clips if c.source == source)
        clean = load_audio(clip.audio, RATE)
        for copy in copies:
            noisy = load_audio(copy.audio, RATE)
            scale = float(noisy @ clean / (clean @ clean))  # may have been scaled down
            noise = noisy / scale - clean
            found = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
            assert found == pytest.approx(6.0, abs=0.3)
            assert (copy.source, copy.answer) == (clip.source, clip.answer)


def test_copies_differ_and_are_reproducible(clips, tmp_path):
    one, again, other = make(clips, tmp_path), make(clips, tmp_path), make(clips, tmp_path, seed=1)
    source = clips[0].source
    assert len(one[source]) == COPIES
    paths = [copy.audio.path for copy in one[source]]
    assert paths == [copy.audio.path for copy in again[source]]
    assert paths[0].read_bytes() != paths[1].read_bytes()
    assert set(paths).isdisjoint(copy.audio.path for copy in other[source])


def test_undecodable_clip_is_left_out(clips, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    faulty = dataclasses.replace(clips[0], source="broken", audio=MediaRef(broken))
    mute = dataclasses.replace(clips[0], source="mute", audio=None)
    assert set(make([faulty, mute, clips[1]], tmp_path / "cache")) == {clips[1].source}
