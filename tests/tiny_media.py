"""Small media files of every container and codec, for tests and `benchmarks/media_corpus.py`."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

RATE = 16000
BLOCK = 1024  # samples
SIDE = 64  # pixels of a video frame
Wave = NDArray[np.float32]


def sweep(seconds: float = 3.0, channels: int = 1, rate: int = RATE) -> Wave:
    """Rising tone under slow beats, (n, channels): every place differs from every other."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * (200 * t + 150 * t**2)) * (1 + 0.5 * np.sin(5 * t))
    return np.stack([wave / (1 + n) for n in range(channels)], axis=1).astype(np.float32)


def colours(count: int) -> Iterator[Image.Image]:
    """Frames that differ in a grey ramp and in the place of a white square."""
    ramp = np.arange(SIDE, dtype=np.uint8)[:, None] * np.ones((1, SIDE), np.uint8)
    for number in range(count):
        frame = np.stack([ramp * 2, ramp.T * 2, np.full_like(ramp, number * 7 % 200)], axis=2)
        at = number % 8 * 8
        frame[at : at + 8, : 8 + number % 5 * 8] = 255
        yield Image.fromarray(frame)


def encode(
    path: Path,
    container: str,
    *,
    audio: str | None = None,
    video: str | None = None,
    wave: Wave | None = None,
    rate: int = RATE,
    seconds: float = 3.0,
    fps: int = 10,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    video_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    late: float = 0.0,
) -> None:
    """Write a file with PyAV: the sweep (or `wave`, (n, channels)) and frames of `colours`."""
    wave = sweep(seconds, 1, rate) if wave is None else wave
    with av.open(str(path), "w", format=container, options=options or {}) as out:
        out.metadata.update(metadata or {})
        picture: Any = None
        if video is not None:
            picture = out.add_stream(video, rate=fps, options=video_options or {})
            picture.width = picture.height = SIDE
            picture.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
            picture.gop_size = 5
        sound: Any = None
        if audio is not None:
            layout = "mono" if wave.shape[1] == 1 else "stereo"
            sound = out.add_stream(audio, rate=rate, layout=layout, options=codec_options or {})
        packets: list[Any] = []
        if picture is not None:
            for number, image in enumerate(colours(round(seconds * fps))):
                frame = av.VideoFrame.from_image(image).reformat(format=picture.pix_fmt)
                frame.pts = number
                packets += picture.encode(frame)
            packets += picture.encode(None)
        if sound is not None:
            resampler = av.AudioResampler(
                format=sound.codec_context.format, layout=layout, rate=rate,
                frame_size=sound.codec_context.frame_size or BLOCK,
            )  # fmt: skip
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T), "fltp", layout)
            block.sample_rate, block.pts = rate, round(late * rate)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                packets += sound.encode(part)
            packets += sound.encode(None)
        packets = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)


def encoded(container: str, **more: Any) -> bytes:
    """Return what `encode` writes."""
    with tempfile.TemporaryDirectory() as folder:
        encode(Path(folder, "file"), container, **more)
        return Path(folder, "file").read_bytes()


def sound_bytes(
    kind: str, subtype: str | None = None, wave: Wave | None = None, **more: Any
) -> bytes:
    """Return a sound file written with soundfile."""
    buffer = io.BytesIO()
    wave = sweep() if wave is None else wave
    soundfile.write(buffer, wave, more.pop("rate", RATE), format=kind, subtype=subtype, **more)
    return buffer.getvalue()


def wav(
    data: bytes,
    *,
    stated: int | None = None,
    riff: int | None = None,
    extra: bytes = b"",
    channels: int = 1,
    bits: int = 16,
    after: bytes = b"",
    rate: int = RATE,
) -> bytes:
    """Return a WAV file with the lengths that its header is to state; `extra` precedes the data."""
    align = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * align, align, bits)
    length = len(data) if stated is None else stated
    body = b"WAVE" + fmt + extra + struct.pack("<4sI", b"data", length) + data + after
    return struct.pack("<4sI", b"RIFF", len(body) if riff is None else riff) + body


def pcm16(wave: Wave | None = None) -> bytes:
    """Return samples as little-endian 16-bit."""
    wave = sweep() if wave is None else wave
    return np.round(wave * 32767).astype("<i2").tobytes()


def id3(frame: bytes = b"", *, padding: int = 0) -> bytes:
    """Return an ID3v2.3 tag."""
    length = len(frame) + padding
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame + bytes(padding)


def id3_picture(image: Image.Image) -> bytes:
    """Return an ID3v2.3 tag with a cover picture."""
    body = b"\0image/jpeg\0\x03\0" + picture_bytes(image, "JPEG")
    return id3(b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body, padding=1000)


def picture_bytes(image: Image.Image, kind: str, **more: Any) -> bytes:
    """Return a picture written with Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def png(rows: NDArray[Any], colour: int, bits: int, *, after: bytes = b"") -> bytes:
    """Return a PNG of rows (height, bytes per row) in any colour type and depth."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (bits * samples)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    body = b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rows)
    palette = bytes(range(256)) * 3 if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", palette[: 3 * 2 ** min(bits, 8)]) if palette else b"")
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
        + after
    )


def turned_video(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Return an MP4 file whose video track states the display matrix (a, b, c, d)."""
    changed = bytearray(data)
    at = changed.index(b"tkhd") + 44
    a, b, c, d = (n << 16 for n in matrix)
    changed[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return bytes(changed)


def between_segments(jpeg: bytes, inserted: bytes) -> bytes:
    """Return a JPEG with bytes inserted before each marker but the first, up to the scan."""
    found = [2]
    while jpeg[found[-1] + 1] != 0xDA:
        at = found[-1]
        found.append(at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big"))
    for at in reversed(found[1:]):
        jpeg = jpeg[:at] + inserted + jpeg[at:]
    return jpeg
