"""Noisy copies of training sounds, with signal-to-noise ratios sampled from a range.

The copies are written and encoded once. New noise in every step would require running the frozen
audio encoder in every step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from safe.digest import digest_json
from safe.errors import MediaError
from safe.files import atomic
from safe.hearing.data.decode import load_audio
from safe.hearing.data.feature_store import media_digest
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.evaluation.sound_quality import add_noise

COPIES = 2


def noisy_sounds(
    clips: Sequence[Sample], cache: Path, *, snr_db: tuple[float, float], rate: int, seed: int
) -> dict[str, list[Sample]]:
    """Return source -> `COPIES` noisy copies of its clip, without clips that cannot be decoded.

    Args:
        clips: one per source.
        snr_db: lowest and highest ratio in dB; sampled uniformly.
        rate: sampling rate of the audio encoder in Hz.
    """
    found: dict[str, list[Sample]] = {}
    for clip in clips:
        if clip.audio is None:
            continue
        copies = []
        try:
            name = digest_json([media_digest(clip.audio), list(snr_db), rate, seed])[:24]
            for number in range(COPIES):
                path = cache / "noisy" / f"{name}-{number}.wav"
                if not path.exists():
                    rng = np.random.default_rng([seed, number, int(name[:8], 16)])
                    wave = add_noise(load_audio(clip.audio, rate), rng, float(rng.uniform(*snr_db)))
                    with atomic(path) as temporary:
                        soundfile.write(temporary, wave, rate, format="WAV")
                copies.append(
                    dataclasses.replace(
                        clip, id=f"{clip.id}/noisy-{number}", audio=MediaRef(path.absolute())
                    )
                )
        except MediaError:
            continue  # reported where the clip itself is loaded
        found[clip.source] = copies
    return found
