"""Recall of the near-duplicate detectors on copies that are made from the data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from safe.hearing.config import PreflightConfig
from safe.hearing.data.audio_features import describe_audio
from safe.hearing.data.audit.duplicates import THUMBNAIL_DISTANCE, waveform_correlation
from safe.hearing.data.audit.texts import LEAST_WORDS, jaccard, sketch, words_of
from safe.hearing.data.decode import Waveform, load_image, read_audio
from safe.hearing.data.image_features import perceptual_hash, thumbnail, thumbnail_distance
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    import duckdb
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall of one detector: `found` of `copies` were recognised."""

    detector: str
    copies: int
    found: int
    made_by: str


def _resampled(wave: Waveform, rate: int, to: int) -> Waveform:
    import soxr

    result: Waveform = soxr.resample(wave, rate, to).astype(np.float32)
    return result


def recode_audio(wave: Waveform, rate: int, rng: np.random.Generator) -> tuple[Waveform, int]:
    """Re-encode the sound as mp3, ogg or at another rate, 0 to 6 dB softer."""
    import soundfile

    kind = ("MP3", "OGG", "rate")[int(rng.integers(3))]
    wave = wave * np.float32(10 ** (-rng.uniform(0, 6) / 20))
    if kind == "rate":
        other = 11025 if rate != 11025 else 16000
        return _resampled(wave, rate, other), other
    buffer = io.BytesIO()
    subtype = "MPEG_LAYER_III" if kind == "MP3" else "VORBIS"
    soundfile.write(buffer, wave, rate, format=kind, subtype=subtype)
    buffer.seek(0)
    data, own = soundfile.read(buffer, dtype="float32", always_2d=True)
    return data.mean(axis=1), own


def recode_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Re-encode the picture as JPEG of quality 50 to 90, or scale it by 0.6 to 1.5."""
    from PIL import Image

    if rng.integers(2):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(50, 91)))
        return Image.open(buffer).convert("RGB")
    factor = rng.uniform(0.6, 1.5)
    size = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def disturb_text(text: str, rng: np.random.Generator) -> str:
    """Change case and punctuation, swap two adjacent words, and drop one word in 12."""
    words = text.split()
    words = [w for w in words if rng.random() > 1 / 12] or words
    if len(words) > 1:
        at = int(rng.integers(len(words) - 1))
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words).upper() + " ."


def is_audio_copy(
    one: tuple[Waveform, int], other: tuple[Waveform, int], settings: PreflightConfig
) -> bool:
    """Return whether `find_near_audio` would report the two sounds (wave and rate each)."""
    first, second = (describe_audio(*sound).fingerprint for sound in (one, other))
    if float(first @ second) < settings.near_audio_similarity:
        return False
    waves = (_resampled(wave, rate, 8000) for wave, rate in (one, other))
    return waveform_correlation(*waves) >= settings.near_audio_correlation


def is_image_copy(one: Image.Image, other: Image.Image, settings: PreflightConfig) -> bool:
    """Return whether `find_near_images` would report the two pictures."""
    bits = perceptual_hash(one) ^ perceptual_hash(other)
    if bits.bit_count() > settings.near_image_distance:
        return False
    return thumbnail_distance(thumbnail(one), thumbnail(other)) <= THUMBNAIL_DISTANCE


def measure_recall(
    base: duckdb.DuckDBPyConnection, settings: PreflightConfig, seed: int
) -> list[Recall]:
    """Measure the recall of the detectors on copies of media and texts drawn from the data."""
    found = []
    for kind in ("image", "audio"):
        refs = _drawn_media(base, kind, settings.recall_copies)
        if refs:
            rng = np.random.default_rng([seed, len(kind)])
            hits = sum(
                _image_found(ref, rng, settings)
                if kind == "image"
                else _audio_found(ref, rng, settings)
                for ref in refs
            )
            made = "jpeg, resize" if kind == "image" else "mp3, ogg, resample; gain"
            found.append(Recall(f"near {kind}", len(refs), hits, made))
    texts = [
        row[0]
        for row in base.execute(
            """
            SELECT DISTINCT unnest(answers) AS text FROM samples WHERE task = 'caption'
            ORDER BY hash(text) LIMIT ?
            """,
            [settings.recall_copies * 2],
        ).fetchall()
    ]
    texts = [t for t in texts if len(words_of(t)) >= LEAST_WORDS][: settings.recall_copies]
    if texts:
        found.append(_text_recall(texts, settings.near_text_similarity, seed))
    return found


def _drawn_media(base: duckdb.DuckDBPyConnection, kind: str, count: int) -> list[MediaRef]:
    wanted = "('audio')" if kind == "audio" else "('image', 'frame')"
    rows = base.execute(
        f"""
        SELECT path, start, clip, frame FROM media WHERE ok AND kind IN {wanted}
        ORDER BY hash(content) LIMIT ?
        """,  # noqa: S608 - constants
        [count],
    ).fetchall()
    return [MediaRef(Path(path), start, clip, frame) for path, start, clip, frame in rows]


def _image_found(ref: MediaRef, rng: np.random.Generator, settings: PreflightConfig) -> bool:
    image = load_image(ref)
    return is_image_copy(image, recode_image(image, rng), settings)


def _audio_found(ref: MediaRef, rng: np.random.Generator, settings: PreflightConfig) -> bool:
    sound = read_audio(ref)
    return is_audio_copy(sound, recode_audio(*sound, rng), settings)


def _text_recall(texts: Sequence[str], threshold: float, seed: int) -> Recall:
    from datasketch import MinHashLSH

    rng = np.random.default_rng([seed, 7])
    copies = [words_of(disturb_text(text, rng)) for text in texts]
    originals = [words_of(text) for text in texts]
    index = MinHashLSH(threshold=threshold, num_perm=sketch(copies[:1])[0].hashvalues.size)
    for place, minhash in enumerate(sketch(originals)):
        index.insert(place, minhash)
    hits = sum(
        place in index.query(minhash) and jaccard(originals[place], copies[place]) >= threshold
        for place, minhash in enumerate(sketch(copies))
    )
    return Recall("near text", len(texts), hits, "case, order, one word in 12 gone")
