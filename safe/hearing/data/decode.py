"""Decode sounds, images and video frames completely, or raise a `MediaError` with the reason.

soundfile reads wav, flac, ogg and mp3; soxr resamples; PyAV (ffmpeg) reads the tracks of videos.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safe.errors import MediaError
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    from PIL import Image

CONTAINERS = frozenset((".mp4", ".m4a", ".mkv", ".webm", ".avi", ".mov"))
MAX_PIXELS = 50_000_000  # limits memory: a header of a few bytes can claim gigabytes
MAX_SECONDS = 3600.0
# libsndfile uses the file's size instead of the header's and logs the difference.
_CUT_WAV = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
Waveform = NDArray[np.float32]


def _fault(what: str, path: Path, hint: str = "replace the file, or remove its rows") -> MediaError:
    return MediaError(what, where=path, hint=hint)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise _fault("the file is missing", path, "fetch it, or remove its rows") from None
    except OSError as error:
        raise _fault(f"cannot be read: {error.strerror}", path) from None
    if size == 0:
        raise _fault("the file is empty (0 bytes)", path)


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
    wave, rate = (
        _container_audio(ref) if ref.path.suffix.lower() in CONTAINERS else _file_audio(ref)
    )
    if wave.size == 0:
        raise _fault("there is no sound in the file (a header without samples)", ref.path)
    if not np.isfinite(wave).all():
        raise _fault("the sound contains values that are not finite", ref.path)
    return wave, rate


def _file_audio(ref: MediaRef) -> tuple[Waveform, int]:
    import soundfile

    try:
        with soundfile.SoundFile(ref.path) as file:
            rate, declared = file.samplerate, file.frames
            if declared > MAX_SECONDS * rate:
                raise _fault(f"longer than {MAX_SECONDS:.0f} s", ref.path, "cut it into clips")
            first = round(ref.start * rate)
            if first and first >= declared:
                raise _fault(f"the clip begins at {ref.start} s, after the end", ref.path)
            file.seek(first)
            wanted = -1 if ref.duration is None else round(ref.duration * rate)
            data = file.read(wanted, dtype="float32", always_2d=True)
            # The length of an mp3 may be an estimate; a missing tenth counts as truncated.
            least = 0.9 if file.format == "MP3" else 1.0
            if wanted == -1 and len(data) < least * (declared - first):
                raise _fault(
                    f"cut off: {len(data)} of {declared - first} samples are present", ref.path
                )
            short = _CUT_WAV.search(file.extra_info)
            if short and int(short[1]) < 0x7FFFFFFF:  # streamed files claim the maximum
                raise _fault(f"cut off: {short[2]} of {short[1]} bytes are present", ref.path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _fault(f"cannot be decoded: {str(error).rpartition(': ')[2]}", ref.path) from None
    return data.mean(axis=1), rate


def _container_audio(ref: MediaRef) -> tuple[Waveform, int]:
    import av

    blocks: list[NDArray[np.float32]] = []
    end = MAX_SECONDS if ref.duration is None else ref.start + ref.duration
    try:
        with av.open(str(ref.path)) as container:
            if not container.streams.audio:
                raise _fault("the video has no sound track", ref.path)
            stream = container.streams.audio[0]
            rate = stream.rate
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            begin: float | None = None
            for frame in container.decode(stream):
                if begin is None:
                    begin = max(0.0, frame.time or 0.0)
                if frame.time is not None and frame.time >= end:
                    break
                blocks.extend(f.to_ndarray() for f in resampler.resample(frame))
    except (av.FFmpegError, ValueError) as error:
        raise _fault(f"cannot be decoded: {_reason(error)}", ref.path) from None
    if not blocks:
        return np.zeros(0, np.float32), rate
    wave = np.concatenate(blocks, axis=1).mean(axis=0)
    # Pad a track that starts late, to keep its position in time.
    wave = np.concatenate([np.zeros(round((begin or 0.0) * rate), np.float32), wave])
    last = None if ref.duration is None else round(end * rate)
    return wave[round(ref.start * rate) : last].astype(np.float32), rate


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error)


def load_image(ref: MediaRef) -> Image.Image:
    """Decode a picture, or the frame of a video at `ref.frame` seconds (the last if shorter).

    Does not detect data that do not match the size in the header: `image_integrity` does, once
    per file when the media are scanned.

    Returns:
        An RGB image, fully decoded.

    Raises:
        MediaError: the file is missing, empty, undecodable, truncated, or over `MAX_PIXELS`.
    """
    _check_file(ref.path)
    if ref.frame is not None:
        return _video_frame(ref.path, ref.frame)
    from PIL import Image, ImageFile

    try:
        with Image.open(ref.path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _fault(
                    f"claims {width} x {height} pixels, more than {MAX_PIXELS:,}", ref.path
                )
            assert not ImageFile.LOAD_TRUNCATED_IMAGES
            image.load()
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "unknown or damaged format" if "identify" in str(error) else str(error)
        raise _fault(f"cannot be decoded: {reason}", ref.path) from None


def _video_frame(path: Path, second: float) -> Image.Image:
    import av

    found: Any = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise _fault("the file has no picture track", path)
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise _fault(f"claims {stream.width} x {stream.height} pixels", path)
            if second > 2 and stream.time_base is not None:
                # Seek to the preceding key frame and decode forward.
                container.seek(int(Fraction(second) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                found = frame
                if frame.time is not None and frame.time >= second:
                    break
    except (av.FFmpegError, ValueError) as error:
        raise _fault(f"cannot be decoded: {_reason(error)}", path) from None
    if found is None:
        raise _fault("no frame can be decoded", path)
    image: Image.Image = found.to_image()
    return image.convert("RGB")
