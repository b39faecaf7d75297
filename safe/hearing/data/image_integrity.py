"""Check that a picture has the pixels its header claims. Decoders pad or crop silently."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from safe.errors import MediaError

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG colour type -> samples per pixel
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
_SOF = (0xC0, 0xC1)  # baseline and extended sequential JPEG
_STRICT = (*_SOF, 0xC2)  # and progressive
# Fill bytes, stuffed zeros, TEM, restart markers, another start.
_WITHOUT_LENGTH = frozenset(bytes((m,)) for m in (0xFF, 0, 1, *range(0xD0, 0xD9)))
_ALL_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
MAX_BYTES = 400_000_000


def check_integrity(path: Path) -> None:
    """Compare a PNG's or JPEG's data with the size in its header; ignore other formats.

    Raises:
        MediaError: there are more or fewer pixels than claimed, or a chunk is damaged.
    """
    data = path.read_bytes()
    fault = None
    if data.startswith(_PNG):
        fault = _png_fault(data)
    elif data.startswith(b"\xff\xd8"):
        fault = _jpeg_fault(data)
    if fault is not None:
        raise MediaError(
            f"the picture is damaged or does not match its header: {fault}",
            where=path,
            hint="replace the file, or remove its rows",
        )


def _png_fault(data: bytes) -> str | None:
    at, pixels, header = len(_PNG), [], b""
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if len(body) < length or zlib.crc32(kind + body) != int.from_bytes(
            data[at + 8 + length : at + 12 + length], "big"
        ):
            return f"chunk {kind!r} is cut off or its checksum is wrong"
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            pixels.append(body)
        at += 12 + length
        if kind == b"IEND":
            break  # decoders ignore what follows
    if len(header) != 13:
        return "no header"
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    depth = bits * _CHANNELS.get(colour, 0)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for x, y, dx, dy in passes:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + (columns * depth + 7) // 8)
    if wanted == 0 or wanted > MAX_BYTES:
        return f"{width} x {height} pixels"
    try:
        unpacker = zlib.decompressobj()
        # One extra byte is enough to detect a surplus without unpacking a decompression bomb.
        found = len(unpacker.decompress(b"".join(pixels), wanted + 1))
    except zlib.error as error:
        return str(error)
    if found != wanted:
        return f"{found} bytes of pixels, but {width} x {height} pixels need {wanted}"
    return None


def _frame_header(data: bytes) -> int | None:
    """Return the position of a JPEG's frame header (its marker), or None.

    Fill bytes before a marker are legal (ITU-T T.81, B.1.1.2); decoders also skip other bytes
    between two segments.
    """
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1 : at + 2]
        if marker and marker[0] in _ALL_SOF:
            return at if at + 9 <= len(data) else None
        if marker in _WITHOUT_LENGTH:
            at += 1
        elif marker in (b"\xda", b"\xd9", b""):  # the scan, the end
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _jpeg_fault(data: bytes) -> str | None:
    at = _frame_header(data)
    if at is None:
        return "no frame header"
    if data[at + 1] not in _STRICT:
        return None  # Pillow decodes it, but there is no strict decoder of arithmetic coding
    if not _decodes(data):
        return "the data end before the last row"
    if data[at + 1] in _SOF:
        # Data that decode with a larger claimed height have hidden rows. The decoder tolerates a
        # few missing bytes, so a narrow picture must claim more than one row of blocks.
        height, width = struct.unpack(">HH", data[at + 5 : at + 9])
        claim = height + 16 * -(-64 // width)
        longer = bytearray(data)
        longer[at + 5 : at + 7] = min(claim, 0xFFFF).to_bytes(2, "big")
        if width > 16 and claim <= 0xFFFF and _decodes(bytes(longer)):
            return f"the data continue after row {height}"
    return None


def _decodes(data: bytes) -> bool:
    """Return whether ffmpeg's strict JPEG decoder finds every block."""
    import av

    try:
        with av.open(io.BytesIO(data), format="jpeg_pipe") as container:
            container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            return any(True for _ in container.decode(video=0))
    except (av.FFmpegError, ValueError, IndexError):
        return False
