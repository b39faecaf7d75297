"""Near-silent clips for training and tests: faint noise like that of a microphone in a quiet room.

Digital silence is refused as audio input (`safe.hearing.models.audio`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from safe.files import atomic
from safe.hearing.data.sample import MediaRef, Sample

CLIPS, SECONDS, RATE = 16, 2.0, 16_000
LEVELS_DB = (-60.0, -40.0)  # root mean square in dB of full scale


def background_noise(cache: Path, seed: int) -> list[Sample]:
    """Write clips of faint noise, white to brown, to `cache/near_silence` unless they exist.

    The same seed gives the same noise.
    """
    folder = cache / "near_silence" / str(seed)
    samples = []
    for number in range(CLIPS):
        path = folder / f"{number}.wav"
        if not path.exists():
            with atomic(path) as temporary:
                soundfile.write(temporary, _noise(seed, number), RATE, format="WAV")
        samples.append(
            Sample(
                id=f"near_silence/{seed}/{number}",
                dataset="near_silence",
                split="train",
                task="audio",
                question="",
                question_type="",
                answers=(),
                answer="",
                source=f"near_silence:{seed}:{number}",
                audio=MediaRef(path.absolute()),
            )
        )
    return samples


def _noise(seed: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number])
    length = int(SECONDS * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    tilt = rng.uniform(0, 1)  # exponent of the decay of amplitude: 0 white, 1 brown
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -tilt
    noise = np.fft.irfft(spectrum, length)
    level = 10 ** (rng.uniform(*LEVELS_DB) / 20)
    scaled: np.ndarray = noise * (level / np.sqrt(np.mean(noise**2)))
    return scaled.clip(-1, 1)
