"""The files of `media_corpus.py`: every container, codec, header oddity and cut position."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from tests.tiny_data import picture
from tests.tiny_media import (
    between_segments,
    colours,
    encoded,
    id3,
    id3_picture,
    pcm16,
    picture_bytes,
    png,
    sound_bytes,
    sweep,
    turned_video,
    wav,
)

CUT = r"cut off|damaged|cannot be decoded|there is no sound|the data end|header"
Expected = Literal["whole", "cut", "refused"]


@dataclass(frozen=True)
class File:
    """A file of the corpus.

    Attributes:
        kind: row of the table.
        medium: sound, picture or frame.
        expected: `whole`: decoded as ffmpeg does; `cut`: refused, or equal to the decoded `whole`
            (only bytes behind the samples are missing); `refused`: never decoded.
        reason: pattern of a true reason if it is refused.
        source: what must be decoded where ffmpeg itself is wrong; samples (n,) or an image.
    """

    kind: str
    name: str
    data: bytes
    medium: Literal["sound", "picture", "frame"] = "sound"
    expected: Expected = "whole"
    reason: str = ""
    whole: bytes = b""
    source: Any = None


SOUNDS: dict[str, dict[str, Callable[[], bytes]]] = {
    "WAV": {
        s: lambda s=s: sound_bytes("WAV", s)
        for s in (
            *("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
            *("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"),
        )
    }
    | {
        "stereo": lambda: sound_bytes("WAVEX", "PCM_24", sweep(3, 2)),
        "RF64": lambda: sound_bytes("RF64"),
        "MP3 inside": lambda: encoded("wav", audio="libmp3lame"),
        "8 kHz": lambda: sound_bytes("WAV", wave=sweep(3, rate=8000), rate=8000),
    },
    "FLAC": {
        "16": lambda: sound_bytes("FLAC"),
        "24": lambda: sound_bytes("FLAC", "PCM_24", sweep(3, 2)),
        "ffmpeg's": lambda: encoded("flac", audio="flac"),
    },
    "Ogg": {
        "Vorbis": lambda: sound_bytes("OGG", "VORBIS", sweep(3, 2)),
        "Opus": lambda: sound_bytes("OGG", "OPUS"),
        "Opus, ffmpeg's": lambda: encoded("ogg", audio="libopus", rate=48000),
        "FLAC": lambda: encoded("ogg", audio="flac"),
    },
    "MP3": {
        "Xing": lambda: encoded("mp3", audio="libmp3lame"),
        "stereo": lambda: encoded("mp3", audio="libmp3lame", wave=sweep(3, 2, 44100), rate=44100),
        "variable rate": lambda: encoded(
            "mp3", audio="libmp3lame", rate=44100, codec_options={"compression_level": "2"}
        ),
        "libsndfile's": lambda: sound_bytes("MP3"),
        "22.05 kHz": lambda: encoded("mp3", audio="libmp3lame", rate=22050),
        "no Xing": lambda: encoded("mp3", audio="libmp3lame", options={"write_xing": "0"}),
        "layer II": lambda: encoded("mp2", audio="mp2"),
    },
    "AAC, M4A": {
        "ADTS": lambda: encoded("adts", audio="aac"),
        "M4A": lambda: encoded("ipod", audio="aac"),
        "M4A, index first": lambda: encoded("ipod", audio="aac", options={"movflags": "faststart"}),
        "ALAC": lambda: encoded("ipod", audio="alac", options={"movflags": "faststart"}),
        "FLAC in MP4": lambda: encoded("mp4", audio="flac"),
    },
    "AIFF, W64, CAF": {k: lambda k=k: sound_bytes(k) for k in ("AIFF", "W64", "CAF")},
}
VIDEOS: dict[str, dict[str, dict[str, Any]]] = {
    "MP4, MOV": {
        "H.264, AAC": {"container": "mp4", "audio": "aac", "video": "libx264"},
        "index first": {
            "container": "mp4", "audio": "aac", "video": "libx264",
            "options": {"movflags": "faststart"},
        },
        "fragments": {
            "container": "mp4", "audio": "aac", "video": "libx264",
            "options": {"movflags": "frag_keyframe+empty_moov"},
        },
        "H.265": {
            "container": "mp4", "audio": "aac", "video": "libx265",
            "video_options": {"x265-params": "log-level=none"},
        },
        "AV1, Opus": {"container": "mp4", "audio": "libopus", "video": "libsvtav1", "rate": 48000},
        "MOV, PCM": {"container": "mov", "audio": "pcm_s16le", "video": "mpeg4"},
        "late sound": {"container": "mp4", "audio": "aac", "video": "libx264", "late": 1.0},
    },
    "MKV, WebM": {
        "H.264, AAC": {"container": "matroska", "audio": "aac", "video": "libx264"},
        "FFV1, FLAC": {"container": "matroska", "audio": "flac", "video": "ffv1"},
        "live": {
            "container": "matroska", "audio": "libmp3lame", "video": "libx264",
            "options": {"live": "1"},
        },
        "VP8, Opus": {"container": "webm", "audio": "libopus", "video": "libvpx", "rate": 48000},
        "VP9, Opus": {
            "container": "webm", "audio": "libopus", "video": "libvpx-vp9", "rate": 48000
        },
        "VP8, live": {
            "container": "webm", "audio": "libopus", "video": "libvpx", "rate": 48000,
            "options": {"live": "1"},
        },
    },
    "AVI": {
        "MPEG-4, MP3": {"container": "avi", "audio": "libmp3lame", "video": "mpeg4"},
        "MJPEG, PCM": {"container": "avi", "audio": "pcm_s16le", "video": "mjpeg"},
    },
}  # fmt: skip
TURNS = ((0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0))
CUTS = (0.01, 0.03, *(n / 10 for n in range(1, 10)), 0.95, 0.99, -200, -21, -8, -2, -1)


def cut(file: File, kind: str) -> Iterator[File]:
    """Yield the file cut at every position of `CUTS` (fraction, or bytes from the end)."""
    for position in CUTS:
        size = int(len(file.data) * position) if position > 0 else len(file.data) + int(position)
        # Between two frames of a format that states no length, a cut file is a whole file.
        between = file.data[:2] == file.data[size : size + 2] and file.data[:1] == b"\xff"
        if 0 < size < len(file.data) and not between:
            yield File(
                kind, f"{file.name} cut at {position}", file.data[:size], file.medium, "cut", CUT,
                file.data,
            )  # fmt: skip


def sounds() -> Iterator[File]:
    """Yield every codec in every container, and each of them cut."""
    files = [
        File(kind, name, make()) for kind, group in SOUNDS.items() for name, make in group.items()
    ]
    files += [
        File(f"{kind}, sound", name, encoded(**values))
        for kind, group in VIDEOS.items()
        for name, values in group.items()
        if "late" not in values
    ]
    for file in files:
        yield file
        yield from cut(file, f"{file.kind}, cut")
    late = encoded(**VIDEOS["MP4, MOV"]["late sound"])
    silence = np.zeros((16000, 1), np.float32)
    yield File("MP4, MOV, sound", "late", late, source=np.concatenate([silence, sweep()])[:, 0])
    source = sweep()[:, 0]
    yield File("WAV", "big-endian", sound_bytes("WAV", endian="BIG"), source=source)


def oddities() -> Iterator[File]:
    """Yield legal files with unusual headers."""
    pcm = pcm16()
    for length in (0, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFFFDB, 0x80000000, 0xFFFFFFFF, 0xFFFFFFD8):
        data = wav(pcm, stated=length, riff=(length + 36) & 0xFFFFFFFF)
        yield File("WAV, header oddities", f"states {length:#x} bytes", data)
    listed = b"LIST" + struct.pack("<I", 10) + b"INFOISFT\0\0"
    odd = b"junk" + struct.pack("<I", 3) + b"abc\0"
    for name, data in {
        "RIFF length 0": wav(pcm, riff=0),
        "RIFF length unknown": wav(pcm, riff=0xFFFFFFFF),
        "list before": wav(pcm, extra=listed),
        "odd chunk before": wav(pcm, extra=odd),
        "list after": wav(pcm, after=listed),
        "bytes after": wav(pcm) + b"x" * 99,
        "ID3 before": id3(padding=999) + wav(pcm),
    }.items():
        yield File("WAV, header oddities", name, data)
    bare = encoded("mp3", audio="libmp3lame", options={"write_xing": "0", "id3v2_version": "0"})
    xing = encoded("mp3", audio="libmp3lame")
    cover = id3_picture(next(colours(1)).resize((500, 500)))
    loud_then_quiet = np.concatenate([sweep(2.0), 0.02 * sweep(8.0)])
    for name, data in {
        "cover, no Xing": cover + bare,
        "cover, Xing": cover + xing,
        "padding of 200 kB": id3(padding=200_000) + bare,
        "ID3v1": bare + b"TAG" + bytes(125),
        "APE tag": bare + b"APETAGEX" + bytes(24),
        "zeros after": bare + bytes(3000),
        "text before": b"icecast\r\n" * 50 + bare,
        "first half missing": bare[len(bare) // 2 + 30 :],
        "loud, then quiet": encoded(
            "mp3", audio="libmp3lame", wave=loud_then_quiet, options={"write_xing": "0"}
        ),
        "joined": bare + bare,
        "joined, Xing": xing + xing,
        "joined, covers": cover + xing + cover + bare,
    }.items():
        yield File("MP3, header oddities", name, data)
    flac = sound_bytes("FLAC")
    unknown = bytearray(flac)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    yield File("FLAC, Ogg, oddities", "FLAC of unknown length", bytes(unknown))
    yield File("FLAC, Ogg, oddities", "FLAC with ID3", cover + flac)
    twice = np.concatenate([sweep(), sweep()])[:, 0]
    vorbis = sound_bytes("OGG", "VORBIS")
    yield File("FLAC, Ogg, oddities", "FLAC joined", flac + flac, source=twice)
    yield File("FLAC, Ogg, oddities", "Vorbis chained", vorbis + vorbis)
    ogg = encoded("ogg", audio="flac")
    yield File("FLAC, Ogg, oddities", "Ogg FLAC chained", ogg + ogg)
    av = {"audio": "aac", "video": "libx264"}
    latin = encoded("mp4", seconds=6.0, metadata={"title": "Caf_e"}, **av).replace(
        b"Caf_e", b"Caf\xe9e"
    )
    yield File("MP4, MOV, sound", "Latin-1 title", latin)
    yield File("MP4, MOV, frames", "Latin-1 title", latin, "frame")


def refusals() -> Iterator[File]:
    """Yield files that must not be decoded."""
    joined = {
        "WAV": sound_bytes("WAV"),
        "AIFF": sound_bytes("AIFF"),
        "MP4": encoded("mp4", audio="aac", video="libx264"),
        "MKV": encoded("matroska", audio="aac", video="libx264"),
        "AVI": encoded("avi", audio="pcm_s16le", video="mjpeg"),
    }
    for name, data in joined.items():
        yield File("joined files", name, data + data, "sound", "refused", "joined to the end")
    for name, data in {
        "HTML": b"<html><body>404 Not Found</body></html>" * 9,
        "text": b"not a sound\n" * 99,
        "playlist": b"#EXTM3U\n#EXTINF:3,\n/etc/hostname\n",
        "concat script": b"ffconcat version 1.0\nfile 'a.wav'\n",
        "zeros": bytes(5000),
        "random": np.random.default_rng(0).bytes(5000),
    }.items():
        yield File("not a sound", name, data, "sound", "refused", "cannot be decoded|no sound")
        yield File("not a picture", name, data, "picture", "refused", "cannot be decoded")
    silent = encoded("mp4", video="libx264")
    yield File("not a sound", "video only", silent, "sound", "refused", "no sound track")
    empty = sound_bytes("WAV", wave=sweep(0))
    yield File("not a sound", "no samples", empty, "sound", "refused", "without samples")
    for name, data in (("FLAC", sound_bytes("FLAC")), ("Opus", joined_opus())):
        broken = bytearray(data)
        broken[len(broken) // 2] ^= 0xFF
        yield File("damaged inside", name, bytes(broken), "sound", "refused", "damaged|decoded")


def joined_opus() -> bytes:
    """Return a mono Opus file of several pages."""
    return encoded("ogg", audio="libopus", rate=48000)


def frames() -> Iterator[File]:
    """Yield videos for their frames, turned ones, and each of them cut."""
    for kind, group in VIDEOS.items():
        for name, values in group.items():
            file = File(f"{kind}, frames", name, encoded(seconds=6.0, **values), "frame")
            yield file
            yield from cut(file, f"{kind}, frames, cut")
    upright = encoded("mp4", video="libx264", seconds=6.0)
    for turn in TURNS:
        yield File("turned video", str(turn), turned_video(upright, turn), "frame")


def pictures() -> Iterator[File]:
    """Yield pictures of every kind, and each of them cut."""
    image = picture(3, 96).resize((120, 75))
    jpeg = {
        f"quality {q}, {s}": picture_bytes(image, "JPEG", quality=q, subsampling=s)
        for q in (20, 75, 95)
        for s in (0, 1, 2)
    }
    plain = jpeg["quality 75, 2"]
    jpeg |= {
        "progressive": picture_bytes(image, "JPEG", progressive=True),
        "restart markers": picture_bytes(image, "JPEG", restart_marker_blocks=3),
        "grey": picture_bytes(image.convert("L"), "JPEG"),
        "RGB inside": picture_bytes(image, "JPEG", keep_rgb=True),
        "CMYK": picture_bytes(image.convert("CMYK"), "JPEG"),
        "comment": picture_bytes(image, "JPEG", comment=b"a \xff\xc0 b"),
        "fill bytes": between_segments(plain, b"\xff" * 4),
        "bytes between segments": between_segments(plain, b"\0\1abc"),
    }
    cases = [File("JPEG", name, data, "picture") for name, data in jpeg.items()]
    cases += [File("PNG", *named, "picture") for named in _pngs(image)]
    for kind in ("GIF", "BMP", "WEBP", "TIFF", "PPM"):
        options = {"lossless": True} if kind == "WEBP" else {}
        grey = image.convert("L") if kind == "GIF" else image
        cases.append(File("other pictures", kind, picture_bytes(grey, kind, **options), "picture"))
    wide = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    for kind in ("TIFF", "PPM"):
        cases.append(
            File("other pictures", f"{kind}, 16 bits", picture_bytes(wide, kind), "picture")
        )
    for case in cases:
        yield case
        yield from cut(case, "JPEG, PNG, other, cut")
    yield File("JPEG", "bytes after", plain + b"x" * 99, "picture")
    yield File("JPEG", "another picture after", plain + plain, "picture")
    yield File("PNG", "bytes after", picture_bytes(image, "PNG") + b"x" * 99, "picture")
    for mode in ("F", "I"):
        data = picture_bytes(image.convert(mode), "TIFF")
        yield File("not a picture", f"TIFF, {mode}", data, "picture", "refused", "stated range")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            options = {"lossless": True} if kind == "WEBP" else {}
            data = picture_bytes(image, kind, exif=exif, **options)
            upright = turned(image, orientation)
            yield File("EXIF orientation", f"{kind} {orientation}", data, "picture", source=upright)


def _pngs(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield mode, picture_bytes(image.convert(mode), "PNG")
    rng = np.random.default_rng(0)
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    for colour, bits in ((c, b) for c, bs in depths.items() for b in bs):
        rows = rng.integers(0, 256, (40, 48 * samples[colour] * bits // 8))
        yield f"colour type {colour}, {bits} bits", png(rows, colour, bits)
    ramp = np.arange(0, 65536, 64, dtype=">u2").reshape(8, 128).view(np.uint8)
    yield "gradient of 16 bits", png(ramp.reshape(8, 256), 0, 16)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image as EXIF's orientation asks for (CIPA DC-008, tag 0x0112)."""
    pixels = np.asarray(image)
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1),
                     7: (-1, -1), 8: (-1, 1)}[orientation]  # fmt: skip
    return Image.fromarray(np.ascontiguousarray(pixels[::rows, ::columns]))


def corpus() -> Iterator[File]:
    """Yield all files."""
    for part in (sounds, oddities, frames, pictures, refusals):
        yield from part()
