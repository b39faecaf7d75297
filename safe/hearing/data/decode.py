"""Decode sounds, images and video frames completely, or raise a `MediaError` with the reason.

The content decides which library reads a file, not its suffix: soundfile reads WAV and Ogg
Vorbis, PyAV (ffmpeg) all other sounds and videos, Pillow pictures. soxr resamples. docs/media.md
compares the result with ffmpeg for every kind of file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from safe.hearing.data.extent import extent_fault, for_soundfile
from safe.hearing.data.sample import MediaRef, media_fault
from safe.hearing.data.tracks import MAX_PIXELS, MAX_SECONDS, Waveform, read_frame, read_track

__all__ = ["MAX_PIXELS", "Waveform", "load_audio", "load_image", "read_audio"]

if TYPE_CHECKING:
    from PIL import Image


def _check_file(path: Path, *, is_picture: bool = False) -> None:
    try:
        if path.stat().st_size == 0:
            raise media_fault("the file is empty (0 bytes)", path)
        fault = None if is_picture else extent_fault(path)
    except FileNotFoundError:
        raise media_fault("the file is missing", path, "fetch it, or remove its rows") from None
    except OSError as error:
        raise media_fault(f"cannot be read: {error.strerror}", path) from None
    if fault is not None:
        raise media_fault(fault, path)


def load_audio(ref: MediaRef, rate: int) -> Waveform:
    """Decode the clip `ref` to mono.

    Args:
        ref: file, start and duration in seconds.
        rate: sampling rate in Hz of the result.

    Returns:
        float32 of shape (n,) in [-1, 1], the mean of the channels.

    Raises:
        MediaError: the file is missing, empty, without samples, undecodable or truncated, or a
            sample is not finite.
    """
    native, own = read_audio(ref)
    if own != rate:
        import soxr

        native = soxr.resample(native, own, rate).astype(np.float32)
    return np.clip(native, -1.0, 1.0)


def read_audio(ref: MediaRef) -> tuple[Waveform, int]:
    """Decode the clip at the file's sampling rate: ((n,) float32 mono, rate in Hz)."""
    _check_file(ref.path)
    found = _exact(ref) if for_soundfile(ref.path) else None
    wave, rate = found or read_track(ref)
    if wave.size == 0:
        raise media_fault("there is no sound in the file (a header without samples)", ref.path)
    if not np.isfinite(wave).all():
        raise media_fault("the sound contains values that are not finite", ref.path)
    return wave, rate


def _exact(ref: MediaRef) -> tuple[Waveform, int] | None:
    """Read WAV or Ogg Vorbis, or return None if libsndfile does not know the codec."""
    import soundfile

    try:
        with soundfile.SoundFile(ref.path) as file:
            rate, present = file.samplerate, file.frames
            # libsndfile cannot seek in GSM 6.10, and estimates the length of MP3 in WAV. ffmpeg
            # reads a sound after a length of 0, which a writer that was stopped leaves.
            if not file.seekable() or file.subtype == "MPEG_LAYER_III" or present == 0:
                return None
            if present > MAX_SECONDS * rate:
                raise media_fault(f"longer than {MAX_SECONDS:.0f} s", ref.path, "cut it into clips")
            first = round(ref.start * rate)
            if first and first >= present:
                raise media_fault(f"the clip begins at {ref.start} s, after the end", ref.path)
            file.seek(first)
            wanted = -1 if ref.duration is None else round(ref.duration * rate)
            data = file.read(wanted, dtype="float32", always_2d=True)
            if wanted == -1 and len(data) < present - first:
                raise media_fault(
                    f"damaged: {len(data)} of {present - first} samples can be decoded", ref.path
                )
    except soundfile.LibsndfileError:
        return None
    return data.mean(axis=1), rate


def load_image(ref: MediaRef) -> Image.Image:
    """Decode a picture, or the frame of a video at `ref.frame` seconds (the last if shorter).

    Does not detect data that do not match the size in the header: `image_integrity` does, once
    per file when the media are scanned.

    Returns:
        An RGB image, fully decoded.

    Raises:
        MediaError: the file is missing, empty, undecodable, truncated, or over `MAX_PIXELS`.
    """
    _check_file(ref.path, is_picture=ref.frame is None)
    if ref.frame is not None:
        return read_frame(ref.path, ref.frame)
    from PIL import Image, ImageFile, ImageOps

    try:
        with Image.open(ref.path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise media_fault(
                    f"claims {width} x {height} pixels, more than {MAX_PIXELS:,}", ref.path
                )
            assert not ImageFile.LOAD_TRUNCATED_IMAGES
            image.load()
            return _rgb(ImageOps.exif_transpose(image), ref.path, image.format)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "unknown or damaged format" if "identify" in str(error) else str(error)
        raise media_fault(f"cannot be decoded: {reason}", ref.path) from None


def _rgb(image: Image.Image, path: Path, kind: str | None) -> Image.Image:
    """Convert to 8-bit RGB. Pillow clips greys of more bits, so they are scaled first.

    Args:
        kind: the file's format, as Pillow names it.
    """
    from PIL import Image

    wide = image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not wide:
        raise media_fault("has greys without a stated range", path, "save it with 8 or 16 bits")
    if wide:  # 0 to 65535
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).astype(np.uint8))
    return image.convert("RGB")
