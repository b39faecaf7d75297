"""Decoding by SAFE compared with ffmpeg's, on small files of every kind that SAFE reads.

    python benchmarks/media_corpus.py [--write docs/media.md]

`media_files.py` generates the files with PyAV, soundfile and Pillow. The `ffmpeg` program decodes
them: sample count, duration and correlation of sounds, size and difference of pictures. Where it is
wrong (big-endian WAV, joined FLAC, sound that begins late, EXIF orientation outside JPEG), the
source is compared instead. A cut file must be refused, or give exactly what the whole file gives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import correlate

os.environ.setdefault("SVT_LOG", "0")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.media_files import File, corpus  # noqa: E402
from safe.errors import MediaError  # noqa: E402
from safe.hearing.data.decode import load_image, read_audio  # noqa: E402
from safe.hearing.data.image_integrity import check_integrity  # noqa: E402
from safe.hearing.data.sample import MediaRef  # noqa: E402

TIMES = (0.05, 0.95, 1.95, 2.55, 4.35, 5.85)  # seconds, between two frames
SECONDS = 0.1  # encoder delay that one version of ffmpeg removes and another does not
CORRELATION = 0.98
DIFFERENCE = 3.0  # mean of 255; JPEG decoders differ in how they interpolate colours
COLUMNS = ("equal", "refused", "wrong")


def main() -> None:
    """Compare all files, print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("the ffmpeg program is needed for the comparison (apt install ffmpeg)")
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for file in corpus():
            outcome, why = compared(file, Path(folder))
            counts[file.kind, outcome] += 1
            if outcome == "wrong":
                wrong.append(f"{file.kind}: {file.name}: {why}")
    text = table(counts)
    print(text)
    for line in wrong:
        print("wrong:", line)
    if arguments.write is not None:
        page = arguments.write.read_text(encoding="utf-8")
        head = page[: page.index("| kind |")]
        arguments.write.write_text(head + text + "\n", encoding="utf-8")
    sys.exit(bool(wrong))


def table(counts: Counter[tuple[str, str]]) -> str:
    """Format the counts as a Markdown table."""
    kinds = sorted({kind for kind, _ in counts})
    rows = [(kind, *(counts[kind, column] for column in COLUMNS)) for kind in kinds]
    rows.append(("all", *(sum(row[n] for row in rows) for n in (1, 2, 3))))
    lines = ["| kind | files | equal to ffmpeg | refused with a true reason | wrong |"]
    lines.append("|---|---|---|---|---|")
    lines += [f"| {r[0]} | {sum(r[1:]):,} | {r[1]:,} | {r[2]:,} | {r[3]:,} |" for r in rows]
    return "\n".join(lines)


def compared(file: File, folder: Path) -> tuple[str, str]:
    """Return equal, refused or wrong, and why."""
    path = folder / "file"
    path.write_bytes(file.data)
    try:
        found = decoded(path, file.medium)
    except MediaError as error:
        fits = file.expected != "whole" and re.search(file.reason, error.what)
        return ("refused" if fits else "wrong"), error.what
    if file.expected == "refused":
        return "wrong", "decoded"
    if file.expected == "cut":
        path.write_bytes(file.whole)
        same = all(
            a.shape == b.shape and np.array_equal(a, b)
            for a, b in zip(found, decoded(path, file.medium), strict=True)
        )
        return ("equal", "") if same else ("wrong", "a part is taken for the whole")
    if file.medium == "sound":
        why = sound_difference(found[0], path, file.source)
    elif file.source is not None:
        why = picture_difference(found[0], np.asarray(file.source))
    else:
        times: tuple[float | None, ...] = TIMES if file.medium == "frame" else (None,)
        faults = (
            picture_difference(image, ffmpeg_picture(path, time, image.shape))
            for image, time in zip(found, times, strict=True)
        )
        why = "; ".join(filter(None, faults))
    return ("wrong" if why else "equal"), why


def decoded(path: Path, medium: str) -> list[Any]:
    """Decode with SAFE: [samples and rate], or the pictures as arrays."""
    if medium == "sound":
        wave, rate = read_audio(MediaRef(path))
        return [np.append(wave, np.float32(rate))]
    if medium == "frame":
        # Clips shorter than a time give their last frame.
        return [np.asarray(load_image(MediaRef(path, frame=time))) for time in TIMES]
    image = np.asarray(load_image(MediaRef(path)))
    check_integrity(path)
    return [image]


def ffmpeg_sound(path: Path) -> tuple[np.ndarray, int]:
    """Decode with the ffmpeg program: ((n,) mean of the channels, rate in Hz)."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "a:0"]
    probe += ["-show_entries", "stream=sample_rate,channels", "-of", "csv=p=0", str(path)]
    line = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.split()[0]
    rate, channels = (int(text) for text in line.split(",")[:2])
    command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-map", "0:a:0"]
    command += ["-c:a", "pcm_f32le", "-f", "f32le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, channels).mean(axis=1), rate


def sound_difference(found: np.ndarray, path: Path, source: np.ndarray | None) -> str:
    """Say how SAFE's sound differs from ffmpeg's (or the source's); empty if it does not."""
    wave, rate = found[:-1], int(found[-1])
    reference, other = (source, rate) if source is not None else ffmpeg_sound(path)
    if rate != other:
        return f"{rate} Hz, not {other}"
    if abs(len(wave) - len(reference)) > SECONDS * rate:
        return f"{len(wave) / rate:.2f} s, not {len(reference) / rate:.2f} s"
    most = int(SECONDS * rate)
    match = correlate(wave, reference, "full", "fft")
    match = match[len(reference) - 1 - most : len(reference) + most]  # lags of up to `SECONDS`
    value = match.max() / (np.linalg.norm(wave) * np.linalg.norm(reference))
    return "" if value > CORRELATION else f"correlation {value:.3f}"


def ffmpeg_picture(path: Path, time: float | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Decode one picture with the ffmpeg program; None if it has another size than `shape`."""
    # Without -seek_timestamp, older versions count from the encoder delay of a Matroska's sound.
    seek = [] if time is None else ["-seek_timestamp", "1", "-ss", str(time)]
    command = ["ffmpeg", "-v", "quiet", *seek, "-i", str(path), "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=False).stdout
    pixels = np.frombuffer(raw, np.uint8)
    return pixels.reshape(shape) if pixels.size == np.prod(shape) else None


def picture_difference(found: np.ndarray, reference: np.ndarray | None) -> str:
    """Say how two pictures differ; empty if they do not."""
    if reference is None or found.shape != reference.shape:
        return f"{found.shape[1]} x {found.shape[0]} pixels are not the size"
    mean = np.abs(found.astype(float) - reference).mean()
    return "" if mean <= DIFFERENCE else f"mean difference {mean:.1f} of 255"


if __name__ == "__main__":
    main()
