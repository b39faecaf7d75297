"""Background noise: quiet but not silent, and reproducible."""

import numpy as np
import soundfile

from safe.hearing.models.audio import waveform_fault
from safe.hearing.training.background_noise import LEVELS_DB, background_noise


def test_background_noise_is_quiet_and_valid_audio(tmp_path):
    for sample in background_noise(tmp_path, seed=1):
        wave, _ = soundfile.read(sample.audio.path)
        level = 20 * np.log10(np.sqrt(np.mean(wave**2)))
        assert LEVELS_DB[0] - 3 < level < LEVELS_DB[1] + 1
        assert waveform_fault(wave) is None


def test_same_seed_gives_the_same_bytes(tmp_path):
    one = [s.audio.path.read_bytes() for s in background_noise(tmp_path / "a", seed=1)]
    two = [s.audio.path.read_bytes() for s in background_noise(tmp_path / "b", seed=1)]
    other = [s.audio.path.read_bytes() for s in background_noise(tmp_path / "a", seed=2)]
    assert one == two
    assert not set(one) & set(other)
    assert len(set(one)) == len(one)
