"""Check that a media file is as long as its container states. Decoders stop early silently.

Libraries return what is present and log the rest at most, so a download that stopped at 60 % looks
like a shorter sound. Only the outermost lengths are read here, never samples. Formats that state no
length (raw MP3 and AAC frames) are checked while they are decoded (`tracks.py`).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# A writer that cannot seek back (a pipe) leaves the largest length it knows: 0xFFFFFFFF (ffmpeg),
# 0x7FFFFFFF, 0x7FFFF000 (SoX), each possibly less a header and rounded to whole samples; or 0.
STREAMED = 0x7FFF0000
RIFF = (b"RIFF", b"RIFX", b"RF64")
JOINED = "another file is joined to the end (byte {})"
_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
# Bit rates by index, in kbit/s: MPEG-1 layers I, II, III; MPEG-2 layers I, II and III.
_KILOBITS = (
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
_OGG_BEGIN, _OGG_END = 2, 4


def extent_fault(path: Path) -> str | None:
    """Return how the file contradicts the lengths that its container states, or None.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = id3_end(file)
        head = _at(file, start, 12)
        check = _check_of(head)
        return None if check is None else check(file, start, size)


def id3_end(file: BinaryIO) -> int:
    """Return where the data begin after ID3v2 tags, which may precede any format, in bytes."""
    at = 0
    while (head := _at(file, at, 10))[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        at += 10 + length + (10 if head[5] & 0x10 else 0)  # bit 4: a footer repeats the header
    return at


def _first_mp3_frame(file: BinaryIO) -> tuple[int, bytes]:
    """Return the position of the first MP3 frame after tags, and its beginning."""
    at = id3_end(file)
    data = _at(file, at, 4096)
    while (found := data.find(b"\xff")) >= 0:
        at, data = at + found, data[found:]
        if len(data) > 1 and data[1] & 0xE0 == 0xE0 and data[1] & 0x06:
            break
        at, data = at + 1, data[1:]
    return at, data[:200]


def _mp3_counts(file: BinaryIO) -> tuple[int, int | None, int | None]:
    """Return (position of the first frame, stated frames, stated bytes) of an MP3.

    Encoders write them into an empty first frame marked Xing, Info or VBRI.
    """
    at, data = _first_mp3_frame(file)
    found = re.search(rb"\A.{13,36}(Xing|Info)(.{12})", data, re.DOTALL)
    if found:
        flags, first, second = struct.unpack(">3I", found[2])
        frames = first if flags & 1 else None
        return at, frames, (second if flags & 1 else first) if flags & 2 else None
    if data[36:40] == b"VBRI" and len(data) >= 54:
        length, frames = struct.unpack(">2I", data[46:54])
        return at, frames, length
    return at, None, None


def mp3_frame_bytes(head: bytes) -> int:
    """Return the length that an MPEG audio frame header (4 bytes) states; 0 if it states none.

    ISO/IEC 11172-3, 2.4.2.3 and 13818-3: 144 (72 for Layer III at low rates, 12 words of 4 bytes
    for Layer I) times bit rate by sampling rate.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    index, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or rate == 3:
        return 0
    is_low = version != 3  # MPEG-2 halves the sampling rates, MPEG-2.5 halves them again
    kilobits = _KILOBITS[min(layer, 2) + 2 if is_low else layer - 1][index]
    hertz = (44100, 48000, 32000)[rate] >> (2 if version == 0 else is_low)
    if layer == 1:
        return (12_000 * kilobits // hertz + padding) * 4
    return (72_000 if is_low and layer == 3 else 144_000) * kilobits // hertz + padding


def mp3_frames(path: Path) -> int | None:
    """Return the number of frames that an MP3 file states, or None."""
    with path.open("rb") as file:
        return _mp3_counts(file)[1]


def _mp3_fault(file: BinaryIO, at: int, size: int) -> str | None:
    begin, _, stated = _mp3_counts(file)
    present = size - begin
    return _cut(present, stated) if stated is not None and present < stated else None


def is_unfinished_avi(path: Path) -> bool:
    """Return whether an AVI was written to a pipe: its header states lengths that mean nothing."""
    with path.open("rb") as file:
        head = file.read(12)
    length = int.from_bytes(head[4:8], "little")
    return head[8:] == b"AVI " and not 0 < length < STREAMED


def for_soundfile(path: Path) -> bool:
    """Return whether libsndfile reads this file more exactly than ffmpeg: WAV, Ogg Vorbis.

    ffmpeg reads big-endian WAV (RIFX) as noise and adds to the end of Vorbis. libsndfile reads only
    the first of several streams in an Ogg file.
    """
    with path.open("rb") as file:
        head = _at(file, id3_end(file), 35)
        if head[:4] in RIFF:
            return head[8:12] == b"WAVE"
        if head[:4] != b"OggS" or head[29:35] != b"vorbis":
            return False
        return len(_ogg_streams(file, 0, os.fstat(file.fileno()).st_size)[0]) == 1


def _check_of(head: bytes) -> Callable[[BinaryIO, int, int], str | None] | None:
    if head[:4] in RIFF:
        return _riff_fault
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _aiff_fault
    if head[:4] == b"caff":
        return _caf_fault
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"):
        return _boxes_fault
    if head[:4] == _EBML.to_bytes(4, "big"):
        return _ebml_fault
    if head[:4] == b"OggS":
        return _ogg_fault
    # Layer bits other than 00, which are AAC's.
    return _mp3_fault if head[:1] == b"\xff" and head[1] & 0xE0 == 0xE0 and head[1] & 6 else None


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _cut(present: int, stated: int, what: str = "bytes") -> str:
    return f"cut off: {max(0, present)} of {stated} {what} are present"


def _riff_fault(file: BinaryIO, at: int, size: int) -> str | None:
    """WAV and AVI: chunks in one RIFF, or several (AVI above 1 GB continues in `AVIX`)."""
    order = ">" if _at(file, at, 4) == b"RIFX" else "<"
    start = at
    while at + 12 <= size:
        name, length, form = struct.unpack(f"{order}4sI4s", _at(file, at, 12))
        if name not in RIFF:
            return None  # bytes after the last RIFF, which decoders ignore
        if at > start and form != b"AVIX":
            return JOINED.format(at)
        if form == b"WAVE":
            fault, at = _wave_fault(file, at, size, order)
            if fault is not None:
                return fault
        elif not 0 < length < STREAMED:
            return None
        elif at + 8 + length > size:
            return _cut(size - at - 8, length)
        else:
            at += 8 + length + length % 2
    return None


def _aiff_fault(file: BinaryIO, at: int, size: int) -> str | None:
    end = at + 8 + int.from_bytes(_at(file, at + 4, 4), "big")
    at += 12
    while at + 8 <= min(end, size):
        name, length = struct.unpack(">4sI", _at(file, at, 8))
        if name == b"SSND" and at + 8 + length > size:
            return _cut(size - at - 8, length)
        at += 8 + length + length % 2
    if _at(file, end, 4) == b"FORM":
        return JOINED.format(end)
    return None


def _caf_fault(file: BinaryIO, at: int, size: int) -> str | None:
    at += 8
    while at + 12 <= size:
        name, length = struct.unpack(">4sq", _at(file, at, 12))
        if length < 0:
            return None  # streamed: the sound continues to the end of the file
        if name == b"data" and at + 12 + length > size:
            return _cut(size - at - 12, length)
        at += 12 + length
    return JOINED.format(at) if _at(file, at, 4) == b"caff" else None


def _wave_fault(file: BinaryIO, start: int, size: int, order: str) -> tuple[str | None, int]:
    """Check the data chunk; return the fault, and where the RIFF ends."""
    stated = struct.unpack(f"{order}I", _at(file, start + 4, 4))[0]
    at, large = start + 12, 0
    end = start + 8 + stated + stated % 2
    while at + 8 <= size:
        name, length = struct.unpack(f"{order}4sI", _at(file, at, 8))
        if name == b"ds64":
            riff, large = struct.unpack("<QQ", _at(file, at + 8, 16).ljust(16, b"\0"))
            end = start + 8 + riff + riff % 2
        if name == b"data":
            known = large if length == 0xFFFFFFFF else length if length < STREAMED else 0
            if known == 0:
                return None, size  # streamed: the sound continues to the end of the file
            if at + 8 + known > size:
                return _cut(size - at - 8, known), size
            # Some writers state a wrong RIFF length, so it ends no earlier than its data.
            return None, max(end, at + 8 + known + known % 2) if end <= size else size
        at += 8 + length + length % 2
    return None, size


def _boxes_fault(file: BinaryIO, at: int, size: int) -> str | None:
    """MP4, M4A, MOV: a sequence of boxes, each with its length."""
    begun = False
    while at + 8 <= size:
        length, name = struct.unpack(">I4s", _at(file, at, 8))
        if length == 0:  # the last box extends to the end
            return None
        if length == 1:
            length = int.from_bytes(_at(file, at + 8, 8), "big")
        if length < 8 or not (name.isascii() and name.decode("ascii").isprintable()):
            return None  # bytes after the last box, which decoders ignore
        if name == b"ftyp":
            if begun:
                return JOINED.format(at)
            begun = True
        if at + length > size:
            return _cut(size - at, length, f"bytes of {name.decode()!r}")
        at += length
    return None


def _ebml_number(data: bytes, *, is_name: bool) -> tuple[int, int]:
    """Decode a variable-length number: (value, bytes used). No bytes are used if it is invalid.

    The length of an element is -1 if all its bits are set: unknown.
    """
    width = 9 - data[0].bit_length() if data else 9
    if len(data) < width:
        return -1, 0
    value = int.from_bytes(data[:width], "big")
    if is_name:
        return value, width
    unknown = (1 << 7 * width) - 1
    value &= unknown
    return (-1 if value == unknown else value), width


def _ebml_fault(file: BinaryIO, at: int, size: int) -> str | None:
    """Matroska and WebM: elements with their lengths.

    A live recording states no length of its segment and maybe of its clusters; then the elements
    inside them are followed.
    """
    begun = is_live = closed = False
    while at < size:
        head = _at(file, at, 12)
        name, used = _ebml_number(head, is_name=True)
        length, more = _ebml_number(head[used:], is_name=False) if used else (-1, 0)
        if not more:
            # Bytes after a segment that states its length are ignored by decoders.
            return "cut off in the last element" if is_live and len(head) < 12 else None
        if name == _EBML and begun:
            return JOINED.format(at)
        if closed and name != _SEGMENT:
            return None
        begun = begun or name == _SEGMENT
        closed = name == _SEGMENT and length >= 0
        if length < 0:
            if name not in (_SEGMENT, _CLUSTER):
                return None
            is_live, length = True, 0
        at += used + more + length
        if at > size:
            return _cut(length - (at - size), length, f"bytes of element {name:X}")
    return None


def _ogg_streams(file: BinaryIO, at: int, size: int) -> tuple[list[bool], str | None]:
    """Follow the pages of an Ogg file (RFC 3533, section 6).

    Returns:
        For every logical stream whether it ended (its last page is marked), and a fault of the
        pages or None.
    """
    ended: list[bool] = []
    current: dict[bytes, tuple[int, int]] = {}  # serial number -> (stream, last page's number)
    while at < size:
        head = _at(file, at, 27)
        if head[:4] != b"OggS"[: len(head)]:
            # Bytes after the last page of all streams are ignored by decoders.
            return ended, None if all(ended) else f"damaged: no page begins at byte {at}"
        table = file.read(head[26]) if len(head) == 27 else b""
        length = 27 + len(table) + sum(table)
        if len(head) < 27 or len(table) < head[26] or at + length > size:
            return ended, _cut(size - at, length, "bytes of the last page")
        serial, number = head[14:18], int.from_bytes(head[18:22], "little")
        if head[5] & _OGG_BEGIN:
            current[serial] = len(ended), number - 1
            ended.append(False)
        if serial not in current:
            return ended, "cut off: the first page is missing"
        stream, before = current[serial]
        if number != before + 1:
            return ended, f"damaged: pages are missing before byte {at}"
        current[serial] = stream, number
        ended[stream] = bool(head[5] & _OGG_END)
        at += length
    return ended, None


def _ogg_fault(file: BinaryIO, at: int, size: int) -> str | None:
    ended, fault = _ogg_streams(file, at, size)
    if fault is None and not all(ended):
        return "cut off: no page is marked as the last one"
    return fault
