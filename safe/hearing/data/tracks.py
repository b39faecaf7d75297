"""Sound tracks and pictures of media containers, decoded with PyAV (ffmpeg)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from safe.hearing.data.extent import is_unfinished_avi, mp3_frame_bytes, mp3_frames
from safe.hearing.data.sample import MediaRef, media_fault

if TYPE_CHECKING:
    import av
    from PIL import Image

MAX_PIXELS = 50_000_000  # limits memory: a header of a few bytes can claim gigabytes
MAX_SECONDS = 3600.0
# ffmpeg also opens playlists, which name other files, and formats whose cut files look whole.
FORMATS = "aac,aiff,avi,caf,flac,matroska,mov,mp3,ogg,w64,wav,webm"
FRAMES_ONLY = ("mp3", "aac")  # these formats state no length: ffmpeg's is an estimate
SLACK = 0.25  # seconds by which containers round their length or tracks end early
GAP = 0.05  # seconds that may be missing between two frames of an Ogg or FLAC track
LATE = 0.05  # seconds; codecs that overlap frames return the first one late by less
SEEK_FROM = 2.0  # seconds; frames before it are decoded from the start
Waveform = NDArray[np.float32]


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    import av

    try:
        # Tags in another encoding than UTF-8 do not matter here.
        options = {"format_whitelist": FORMATS}
        container = av.open(str(path), metadata_errors="replace", container_options=options)
    except av.InvalidDataError:
        raise media_fault("cannot be decoded: unknown or damaged format", path) from None
    except av.ArgumentError:
        raise media_fault("cannot be decoded: a format that SAFE does not read", path) from None
    except av.FFmpegError as error:
        raise media_fault(f"cannot be decoded: {_reason(error)}", path) from None
    try:
        with container:
            yield container
    except (av.FFmpegError, ValueError, LookupError) as error:
        raise media_fault(f"cannot be decoded: {_reason(error)}", path) from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error)


def _track(container: Any, kind: Literal["audio", "video"], absent: str, path: Path) -> Any:
    """Return the track that ffmpeg would choose; cover pictures come last."""
    stream = container.streams.best(kind)
    if stream is None:
        raise media_fault(absent, path)
    if stream.codec_context is None:
        raise media_fault("cannot be decoded: unknown codec", path)
    return stream


def read_track(ref: MediaRef) -> tuple[Waveform, int]:
    """Decode a clip of the best sound track: ((n,) float32, mean of the channels; rate in Hz).

    A track that begins after the picture is padded, to keep its position in time.

    Raises:
        MediaError: there is no sound track, it cannot be decoded, or it ends before the length
            that the container states.
    """
    end = MAX_SECONDS if ref.duration is None else ref.start + ref.duration
    with _opened(ref.path) as container:
        stream = _track(container, "audio", "the video has no sound track", ref.path)
        # Without this, a frame of FLAC with a wrong checksum is decoded to noise.
        stream.codec_context.options = {"err_detect": "crccheck"}
        length, sound = _Length(container, ref.path), _Sound(container, ref.path)
        for packet in container.demux():
            length.add(packet)
            if packet.stream is stream:
                for frame in _frames(packet, sound.seconds, ref.path):
                    sound.add(frame)
                if sound.seconds >= end:
                    break
        else:
            sound.finish()
            length.check(stream)
        if ref.duration is None and sound.seconds >= end:
            raise media_fault(f"longer than {MAX_SECONDS:.0f} s", ref.path, "cut it into clips")
    first, last = round(ref.start * sound.rate), round(end * sound.rate)
    wave = sound.wave()
    if first >= wave.size > 0:
        raise media_fault(f"the clip begins at {ref.start} s, after the end", ref.path)
    return wave[first:last], sound.rate


def _frames(packet: av.Packet, seconds: float, path: Path) -> list[Any]:
    """Decode one packet; bytes between the frames of a raw stream (tags, a cut start) are none."""
    import av

    try:
        return list(packet.decode())
    except av.FFmpegError as error:
        name = packet.stream.container.format.name
        if name in FRAMES_ONLY and bytes(packet)[:1] != b"\xff":
            return []
        raise media_fault(
            f"cut off or damaged at {seconds:.2f} s: {_reason(error)}", path
        ) from None


class _Length:
    """Compares the end of the last packet with the length that the container states."""

    def __init__(self, container: av.container.InputContainer, path: Path) -> None:
        self.path = path
        self.is_mp3 = container.format.name == "mp3"
        self.is_to_end = container.format.name in ("wav", "caf")
        self.is_stated = container.format.name not in FRAMES_ONLY and not is_unfinished_avi(path)
        self.stated = (container.duration or 0) / 1e6
        self.start = (container.start_time or 0) / 1e6
        self.end = 0.0
        self.frames: Counter[int] = Counter()
        self.last: dict[int, float] = {}

    def add(self, packet: av.Packet) -> None:
        is_short = self.is_mp3 and packet.size < mp3_frame_bytes(bytes(packet)[:4])
        # WAV and CAF without a length have no end but the file's; `extent_fault` checks the others.
        if (packet.is_corrupt and not self.is_to_end) or is_short:
            raise media_fault(f"cut off or damaged at {self.end:.2f} s", self.path)
        if packet.pts is None or packet.size == 0:
            return
        index, begin = packet.stream.index, float(packet.pts * packet.time_base) - self.start
        self.frames[index] += 1
        # Matroska states no duration of video frames: take the distance to the one before.
        lasts = float((packet.duration or 0) * packet.time_base)
        lasts = lasts or abs(begin - self.last.get(index, begin))
        self.last[index] = begin
        self.end = max(self.end, begin + lasts)

    def check(self, stream: Any) -> None:
        if self.is_stated and self.end < self.stated - SLACK:
            raise media_fault(
                f"cut off or damaged: {self.end:.2f} of {self.stated:.2f} s are present", self.path
            )
        if self.is_mp3:
            stated, present = mp3_frames(self.path), self.frames[stream.index]
            # Some encoders count the frame that holds the number.
            if stated is not None and present < stated - 1:
                raise media_fault(f"cut off: {present} of {stated} frames are present", self.path)


class _Sound:
    """Collects decoded frames as mono blocks at the rate of the first one."""

    def __init__(self, container: av.container.InputContainer, path: Path) -> None:
        self.start = (container.start_time or 0) / 1e6
        self.is_sequence = container.format.name in ("ogg", "flac")
        self.path, self.rate, self.samples = path, 0, 0
        self.blocks: list[Waveform] = []
        self._format: tuple[Any, ...] = ()
        self._resampler: Any = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate if self.rate else 0.0

    def add(self, frame: av.AudioFrame) -> None:
        import av

        if not self.rate:
            self.rate = frame.sample_rate
            late = (frame.time or 0.0) - self.start
            if late > LATE:
                self._append(np.zeros((round(late * self.rate), 1), np.float32))
        elif self.is_sequence and frame.time is not None:
            missing = frame.time - self.start - self.seconds
            if missing > GAP:
                raise media_fault(
                    f"damaged: {missing:.2f} s are missing at {self.seconds:.2f} s", self.path
                )
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._format:  # also inside a file: joined files, parametric stereo
            self.finish()
            self._format = form
            self._resampler = av.AudioResampler(
                format="flt", layout=frame.layout.name, rate=self.rate
            )
        for block in self._resampler.resample(frame):
            self._append(_samples(block))

    def finish(self) -> None:
        """Add what the resampler still holds."""
        if self._resampler is not None:
            for block in self._resampler.resample(None):
                self._append(_samples(block))
            self._resampler = None

    def _append(self, block: Waveform) -> None:
        """Add samples of shape (n, channels)."""
        self.blocks.append(block.mean(axis=1, dtype=np.float32))
        self.samples += len(block)

    def wave(self) -> Waveform:
        return np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.float32)


def _samples(block: av.AudioFrame) -> Waveform:
    """Return a frame of interleaved floats as (n, channels).

    PyAV crashes when it copies a frame of more than eight planes.
    """
    return block.to_ndarray().reshape(-1, block.layout.nb_channels)


def read_frame(path: Path, second: float) -> Image.Image:
    """Decode the first frame at or after `second` (the last if there is none) to RGB.

    A rotation stated by the container, as phones do, is applied.

    Raises:
        MediaError: there is no picture track, or the frame cannot be decoded.
    """
    with _opened(path) as container:
        stream = _track(container, "video", "the file has no picture track", path)
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise media_fault(f"claims {width} x {height} pixels, more than {MAX_PIXELS:,}", path)
        time = second + (container.start_time or 0) / 1e6
        found = _frame_from(container, stream, time) if second > SEEK_FROM else None
        if found is None:
            container.seek(container.start_time or 0)
            found = _first_at(container.decode(stream), time)
    if found is None:
        raise media_fault("no frame can be decoded", path)
    if found.is_corrupt:
        raise media_fault(f"the frame at {second} s is damaged", path)
    return _upright(found)


def _upright(frame: av.VideoFrame) -> Image.Image:
    """Convert to RGB and apply the display matrix (quarter turns and mirrors)."""
    import av
    from PIL import Image

    image: Image.Image = frame.to_image().convert("RGB")
    matrix = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if matrix is None:
        return image
    # x' = a x + c y, y' = b x + d y
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    pixels = np.asarray(image)
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _frame_from(container: Any, stream: Any, time: float) -> Any:
    """Decode from the key frame before `time`; None if that did not lead to it."""
    container.seek(int(Fraction(time) / stream.time_base), stream=stream)
    frames = container.decode(stream)
    first = next(frames, None)
    if first is None or first.time is None or first.time > time:
        return None
    return _first_at(chain([first], frames), time)


def _first_at(frames: Iterable[Any], time: float) -> Any:
    found = None
    for found in frames:
        if found.time is not None and found.time >= time:
            break
    return found
