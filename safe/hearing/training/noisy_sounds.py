"""Sounds in noise to train against: each clip a few times, at signal-to-noise ratios of a range.

They are written once and encoded once, as every sound is; drawing noise anew in every step would
have the frozen audio encoder hear in every step.
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
    """Source -> the clip in noise, `COPIES` times; clips that cannot be decoded are left out.

    Args:
        clips: one a source.
        snr_db: lowest and highest; drawn evenly between, in dB.
        rate: Hz that the audio encoder hears at.
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
            continue  # counted and named where the clip itself is opened
        found[clip.source] = copies
    return found
