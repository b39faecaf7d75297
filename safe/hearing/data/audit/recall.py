"""Recall of the near-duplicate detectors, by kind of change, on copies made from the data."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from safe.hearing.config import PreflightConfig
from safe.hearing.data.audio_features import SILENT_DB, describe_audio
from safe.hearing.data.audit import pictures, sounds
from safe.hearing.data.audit.texts import LEAST_WORDS, index_of, jaccard, sketch, words_of
from safe.hearing.data.decode import Waveform, load_image, read_audio
from safe.hearing.data.image_features import thumbnail
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    import duckdb
    from PIL import Image

CUT_OFF = 0.05  # largest part of a picture that is cut off at each side
SHORTENED = 0.1  # largest part of a sound that is cut off in all
SPEEDS = (0.98, 1.02)


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall of one kind of copy: `found` of `copies` were recognised."""

    detector: str
    change: str
    copies: int
    found: int


Sound = tuple[Waveform, int]  # samples and rate in Hz


def _resampled(wave: Waveform, rate: float, to: float) -> Waveform:
    import soxr

    result: Waveform = soxr.resample(wave, rate, to).astype(np.float32)
    return result


# -- changes --------------------------------------------------------------------------------------


def recode_audio(sound: Sound, rng: np.random.Generator) -> Sound:
    """Re-encode the sound as mp3, ogg or at another rate, 0 to 6 dB softer."""
    import soundfile

    wave, rate = sound
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


def change_speed(sound: Sound, rng: np.random.Generator) -> Sound:
    """Play the sound 2 % faster or slower, with another pitch."""
    wave, rate = sound
    return _resampled(wave, rate, rate / SPEEDS[int(rng.integers(2))]), rate


def cut_ends(sound: Sound, rng: np.random.Generator) -> Sound:
    """Cut off up to a tenth of the sound, at both ends together."""
    wave, rate = sound
    start, end = np.sort(rng.uniform(0, SHORTENED, 2))
    return wave[int(start * len(wave)) : int((1 - SHORTENED + end) * len(wave))], rate


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


def crop_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut off up to a twentieth at each side."""
    from PIL import Image

    left, top, right, bottom = rng.uniform(0, CUT_OFF, 4)
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    size = (max(8, round(box[2] - box[0])), max(8, round(box[3] - box[1])))
    return image.resize(size, Image.Resampling.BICUBIC, box=box)


def mirror_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.mirror(image)


def grey_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def light_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change brightness or contrast by up to 30 %."""
    from PIL import ImageEnhance

    kind = (ImageEnhance.Brightness, ImageEnhance.Contrast)[int(rng.integers(2))]
    return kind(image).enhance(float(rng.uniform(0.7, 1.3)))


def shuffle_text(text: str, rng: np.random.Generator) -> str:
    """Change case and punctuation, and swap two adjacent words."""
    words = text.split()
    if len(words) > 1:
        at = int(rng.integers(len(words) - 1))
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words).upper() + " ."


def drop_word(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    del words[int(rng.integers(len(words)))]
    return " ".join(words)


def replace_word(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    words[int(rng.integers(len(words)))] = "something"
    return " ".join(words)


IMAGES: Mapping[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "jpeg or scaled": recode_image,
    "cropped": crop_image,
    "mirrored": mirror_image,
    "grey": grey_image,
    "brightness or contrast": light_image,
}
SOUNDS: Mapping[str, Callable[[Sound, np.random.Generator], Sound]] = {
    "mp3, ogg or resampled, softer": recode_audio,
    "2 % faster or slower": change_speed,
    "ends cut": cut_ends,
}
TEXTS: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "case, punctuation, order": shuffle_text,
    "one word dropped": drop_word,
    "one word replaced": replace_word,
}


# -- detectors ------------------------------------------------------------------------------------


def is_audio_copy(one: Sound, other: Sound, settings: PreflightConfig) -> bool:
    """Return whether `find_near_audio` would report the two sounds."""
    left, right = (_fingerprints(sound) for sound in (one, other))
    candidates = sounds.find_candidates(left, right, settings.near_audio_similarity)
    if not candidates:
        return False
    first, second = (_resampled(wave, rate, sounds.COMPARE_RATE) for wave, rate in (one, other))
    score = sounds.confirm(first, second, candidates[0, 0], settings.near_audio_correlation)
    return score is not None


def _fingerprints(sound: Sound) -> NDArray[np.float32]:
    found = describe_audio(*sound)
    return np.concatenate([found.fingerprint[None], found.cut_fingerprints])[None]


def is_image_copy(one: Image.Image, other: Image.Image, settings: PreflightConfig) -> bool:
    """Return whether `find_near_images` would report the two pictures."""
    left, right = (pictures.as_pixels([thumbnail(image)]) for image in (one, other))
    return any(
        pictures.confirm(left, right, found, settings.near_image_similarity) is not None
        for found in pictures.find_candidates(left, right)
    )


def measure_recall(
    base: duckdb.DuckDBPyConnection, settings: PreflightConfig, seed: int
) -> list[Recall]:
    """Measure the recall of the detectors on copies of media and texts drawn from the data."""
    images = [load_image(ref) for ref in _drawn_media(base, "image", settings.recall_copies)]
    heard = [read_audio(ref) for ref in _drawn_media(base, "audio", settings.recall_copies)]
    found = []
    for place, (change, image_change) in enumerate(IMAGES.items()):
        rng = np.random.default_rng([seed, 5, place])
        hits = sum(is_image_copy(image, image_change(image, rng), settings) for image in images)
        found.append(Recall("near image", change, len(images), hits))
    for place, (change, sound_change) in enumerate(SOUNDS.items()):
        rng = np.random.default_rng([seed, 6, place])
        hits = sum(is_audio_copy(sound, sound_change(sound, rng), settings) for sound in heard)
        found.append(Recall("near audio", change, len(heard), hits))
    texts = _drawn_texts(base, settings.recall_copies)
    for place, (change, text_change) in enumerate(TEXTS.items()):
        rng = np.random.default_rng([seed, 7, place])
        copies = [text_change(text, rng) for text in texts]
        hits = _texts_found(texts, copies, settings.near_text_similarity)
        found.append(Recall("near text", change, len(texts), hits))
    return [recall for recall in found if recall.copies]


def _drawn_texts(base: duckdb.DuckDBPyConnection, count: int) -> list[str]:
    rows = base.execute(
        """
        SELECT DISTINCT unnest(answers) AS text FROM samples WHERE task = 'caption'
        ORDER BY hash(text)
        """
    ).fetchall()
    # One word of ten is what the detector must tolerate.
    return [text for (text,) in rows if len(words_of(text)) >= LEAST_WORDS][:count]


def _drawn_media(base: duckdb.DuckDBPyConnection, kind: str, count: int) -> list[MediaRef]:
    wanted = "('audio')" if kind == "audio" else "('image', 'frame')"
    rows = base.execute(
        f"""
        SELECT path, start, clip, frame FROM media
        WHERE ok AND kind IN {wanted} AND coalesce(rms_db, 0) > {SILENT_DB}
        ORDER BY hash(content) LIMIT ?
        """,  # noqa: S608 - constants
        [count],
    ).fetchall()
    return [MediaRef(Path(path), start, clip, frame) for path, start, clip, frame in rows]


def _texts_found(texts: Sequence[str], copies: Sequence[str], threshold: float) -> int:
    if not texts:
        return 0
    originals, changed = [words_of(t) for t in texts], [words_of(c) for c in copies]
    index = index_of(sketch(originals), threshold)
    return sum(
        place in index.query(minhash) and jaccard(originals[place], changed[place]) >= threshold
        for place, minhash in enumerate(sketch(changed))
    )
