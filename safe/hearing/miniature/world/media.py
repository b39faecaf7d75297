"""Write pictures, sounds and videos with deterministic bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from safe.hearing.miniature.world.voices import RATE

if TYPE_CHECKING:
    from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

AUDIO_FORMATS = ("wav", "flac", "ogg", "mp3")
FRAMES_PER_SECOND = 4


def save_jpeg(image: Image.Image, path: Path, quality: int = 95) -> None:
    """Write a JPEG without chroma subsampling."""
    image.save(path, "JPEG", quality=quality, subsampling=0)


def save_audio(wave: Array, path: Path) -> None:
    """Write mono float32 at 16 kHz as wav (16 bit), flac, ogg (Vorbis) or mp3, by suffix."""
    import soundfile

    kind = path.suffix[1:]
    if kind == "ogg":
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, RATE, format="OGG", subtype="VORBIS")
        path.write_bytes(_fixed_serial(buffer.getvalue()))
        return
    subtype = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}[kind]
    soundfile.write(path, wave, RATE, format=kind.upper(), subtype=subtype)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()


def _fixed_serial(data: bytes, serial: int = 1) -> bytes:
    """Give every Ogg page a fixed stream serial number; libsndfile derives it from the clock.

    Page layout and checksum: RFC 3533, section 6.
    """
    pages, at = [], 0
    while at < len(data):
        count = data[at + 26]
        end = at + 27 + count + sum(data[at + 27 : at + 27 + count])
        page = bytearray(data[at:end])
        struct.pack_into("<I", page, 14, serial)
        struct.pack_into("<I", page, 22, 0)
        crc = 0
        for byte in page:
            crc = ((crc << 8) & 0xFFFFFFFF) ^ _CRC[(crc >> 24) ^ byte]
        struct.pack_into("<I", page, 22, crc)
        pages.append(bytes(page))
        at = end
    return b"".join(pages)


def save_video(
    frames: Sequence[Image.Image],
    wave: Array,
    path: Path,
    *,
    quality: int = 8,
    bit_rate: int = 96_000,
) -> None:
    """Write an mp4 with H.264 video at 4 frames per second and AAC audio at 16 kHz.

    Args:
        quality: quantiser of the video, 0 (lossless) to 51.
        bit_rate: bit rate of the audio, in bits per second.
    """
    import av
    from av.codec.context import Flags

    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture: Any = container.add_stream(
            "libx264",
            rate=FRAMES_PER_SECOND,
            options={"preset": "ultrafast", "qp": str(quality)},
        )
        picture.width, picture.height = frames[0].size
        picture.pix_fmt = "yuv444p"  # chroma subsampling would blur such small pictures
        track: Any = container.add_stream(
            "aac", rate=RATE, layout="mono", options={"aac_coder": "fast"}
        )
        track.bit_rate = bit_rate
        for stream in (picture, track):
            stream.codec_context.thread_count = 1
            stream.codec_context.flags |= Flags.bitexact
        for image in frames:
            container.mux(picture.encode(av.VideoFrame.from_image(image)))
        container.mux(picture.encode(None))
        sound = av.AudioFrame.from_ndarray(wave[None, :], format="fltp", layout="mono")
        sound.sample_rate = RATE
        sound.pts = 0
        container.mux(track.encode(sound))
        container.mux(track.encode(None))
