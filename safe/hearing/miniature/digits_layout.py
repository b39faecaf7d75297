"""Layout of the digits dataset: real recordings of spoken digits with real handwriting.

Recordings: `recordings/{digit}_{speaker}_{take}.wav` of the Free Spoken Digit Dataset; takes 0-4
are its official test split, 5-9 are val, the rest train. Handwriting: the 1,797 images of
scikit-learn's `load_digits` (8 x 8, 0 to 16), assigned to splits by a seeded shuffle within each
digit, written once as PNG. No recording and no image is in two splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safe.errors import DataError
from safe.files import atomic
from safe.hearing.data.annotations.base import ReadJob
from safe.hearing.data.annotations.raw import Row
from safe.hearing.data.sample import Difficulty, Event, MediaRef, Sample, Task

OPTIONS = {
    "images_dir": "folder for the PNGs of the handwriting (default cache/handwritten_digits)",
    "seed": "seed of the split of images and of the pairs (default 0)",
    "image_size": "side of the PNG in pixels (default 32)",
    "pairs": "audio-visual questions of each kind and recording (default 1)",
}
# fmt: off
WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
)
# fmt: on
QUESTIONS = {
    "written": "What digit is written?",
    "parity": "Is the written digit odd or even?",
    "size": "Is the written digit greater than four?",
    "spoken": "What digit is spoken?",
    "speaker": "Who is speaking?",
    "over_five": "Is the spoken digit greater than five?",
    "over_seven": "Is the spoken digit greater than seven?",
    "match": "Do the written and the spoken digit match?",
    "sum": "What is the sum of the written and the spoken digit?",
}
SPLITS = ("train", "val", "test")
SHARES = (0.7, 0.15)  # of the images for train and val; the rest is test
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav\Z")


class Recording(NamedTuple):
    digit: int
    speaker: str
    take: int

    @property
    def stem(self) -> str:
        return f"{self.digit}_{self.speaker}_{self.take}"

    @property
    def split(self) -> str:
        return _split_of(self.take)


def _split_of(take: int) -> str:
    return "test" if take < 5 else "val" if take < 10 else "train"


def list_recordings(folder: Path) -> list[Recording]:
    """Return all recordings of the folder, sorted.

    Raises:
        DataError: the folder does not exist, or the name of a wav file is not of the required form.
    """
    if not folder.is_dir():
        raise DataError(
            "the folder of recordings is missing",
            where=folder,
            hint="clone https://github.com/Jakobovski/free-spoken-digit-dataset to that place",
        )
    found = []
    for path in folder.glob("*.wav"):
        match = _NAME.match(path.name)
        if match is None:
            raise DataError(
                f"the name {path.name!r} is not {{digit}}_{{speaker}}_{{take}}.wav",
                where=folder,
                hint="remove the file or give it a name of that form",
            )
        found.append(Recording(int(match[1]), match[2], int(match[3])))
    return sorted(found)


def split_images(targets: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the image indices of each split: a seeded shuffle within each digit."""
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in SPLITS}
    rng = np.random.default_rng([seed, 1])
    for digit in range(10):
        order = rng.permutation(np.flatnonzero(targets == digit))
        cuts = np.cumsum([round(share * len(order)) for share in SHARES])
        for name, part in zip(SPLITS, np.split(order, cuts), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(p)) for name, p in parts.items()}


def write_images(folder: Path, images: NDArray[np.float64], size: int) -> None:
    """Write every image as `{index:04d}_{size}.png`; existing files are kept."""
    from PIL import Image

    for index, image in enumerate(images):
        path = folder / f"{index:04d}_{size}.png"
        if not path.exists():
            grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
            with atomic(path) as temporary:
                grey.resize((size, size), Image.Resampling.BICUBIC).save(temporary, format="PNG")


def read_digit(digit: int) -> dict[str, str]:
    """Return question kind -> answer, for the questions about a written digit alone."""
    return {
        "written": WORDS[digit],
        "parity": "odd" if digit % 2 else "even",
        "size": "yes" if digit > 4 else "no",
    }


def hear_digit(digit: int, speaker: str) -> dict[str, str]:
    """Return question kind -> answer, for the questions about a recording alone.

    A guess is correct for 10 to 80 % of the questions, depending on the kind, so the possible gain
    from audio differs.
    """
    return {
        "spoken": WORDS[digit],
        "speaker": speaker,
        "over_five": "yes" if digit > 5 else "no",
        "over_seven": "yes" if digit > 7 else "no",
    }


def _lengths(folder: Path, recordings: list[Recording]) -> dict[Recording, float]:
    """Return seconds of each recording from its header; unreadable recordings are omitted."""
    import soundfile

    lengths = {}
    for recording in recordings:
        try:
            info = soundfile.info(folder / f"{recording.stem}.wav")
        except (soundfile.LibsndfileError, RuntimeError):
            continue
        if info.duration > 0:
            lengths[recording] = round(info.duration, 4)
    return lengths


def _sum_pairs(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """Return (spoken, written) pairs with equally frequent sums, so the prior does not help."""
    sums = rng.permutation(np.arange(count) % 19)
    pairs = []
    for total in sums:
        low, high = max(0, total - 9), min(9, total)
        spoken = int(rng.integers(low, high + 1))
        pairs.append((spoken, int(total) - spoken))
    return pairs


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every question, in the order of `read`. Pairs reuse recordings and images."""
    from sklearn.datasets import load_digits

    folder = job.config.root / "recordings"
    takes = {path.stem: int(path.stem.rpartition("_")[2]) for path in folder.glob("*.wav")}
    stems = [stem for stem, take in takes.items() if _split_of(take) == job.native]
    stems.sort(key=lambda stem: (stem.rpartition("_")[0], takes[stem]))
    indices = split_images(load_digits().target, job.option("seed", 0))[job.native]
    size = job.option("image_size", 32)
    for number, index in enumerate(indices):
        for kind in ("written", "parity", "size"):
            yield Row(f"{kind}-{job.native}{number:05d}", [f"{index:04d}_{size}"])
    for number, stem in enumerate(stems):
        for kind in ("spoken", "speaker", "over_five", "over_seven"):
            yield Row(f"{kind}-{job.native}{number:05d}", [stem])
    every_digit = len({stem[0] for stem in stems}) == 10  # else there are no pairs
    pairs = job.option("pairs", 1) * len(stems) if every_digit else 0
    for kind in ("match", "sum"):
        for number in range(pairs):
            yield Row(f"{kind}-{job.native}{number:05d}", [])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield questions about pictures (vl), recordings (audio) and pairs (av) of one split."""
    from sklearn.datasets import load_digits

    if job.native not in SPLITS:
        raise DataError(
            f"unknown split {job.native!r}",
            where=f"dataset {job.config.name}",
            key=f"splits.{job.split}",
            hint=f"use one of {', '.join(SPLITS)}",
        )
    folder = job.config.root / "recordings"
    recordings = [r for r in list_recordings(folder) if r.split == job.native]
    images, targets = load_digits(return_X_y=True)
    seed, size = job.option("seed", 0), job.option("image_size", 32)
    written = Path(job.option("images_dir", "cache/handwritten_digits"))
    write_images(written, images.reshape(-1, 8, 8), size)
    indices = split_images(targets, seed)[job.native]
    lengths = _lengths(folder, recordings) if job.config.media else {}
    rng = np.random.default_rng([seed, 2, SPLITS.index(job.native)])
    by_digit = {d: rng.permutation(indices[targets[indices] == d]) for d in range(10)}

    def make(
        kind: str, number: int, answer: str, spoken: Recording | None, image: int | None
    ) -> Sample:
        task: Task = "av" if kind in ("match", "sum") else "vl" if spoken is None else "audio"
        medium = ("parity", "size", "match", "speaker", "over_five", "over_seven")
        difficulties: dict[str, Difficulty] = {"sum": "hard", **dict.fromkeys(medium, "medium")}
        labels: dict[str, str] = {}
        events: tuple[Event, ...] = ()
        if spoken is not None:
            labels |= {"spoken": WORDS[spoken.digit], "speaker": spoken.speaker}
            if spoken in lengths:
                # The recordings are trimmed to the utterance, so the event spans the recording.
                events = (Event(labels["spoken"], 0.0, lengths[spoken], "audio"),)
        if image is not None:
            labels["written"] = WORDS[int(targets[image])]
        return Sample(
            # Numbered, because an id must not reveal the answer. The split makes ids unique across
            # splits.
            id=job.sample_id(f"{kind}-{job.native}{number:05d}"),
            dataset=job.config.name,
            split=job.split,
            task=task,
            question=QUESTIONS[kind],
            question_type=kind,
            answers=(answer,),
            answer=answer,
            source=f"digits:{image}" if spoken is None else f"fsdd:{spoken.stem}",
            image=None
            if image is None
            else MediaRef((written / f"{image:04d}_{size}.png").absolute()),
            audio=None if spoken is None else MediaRef((folder / f"{spoken.stem}.wav").absolute()),
            difficulty=difficulties.get(kind, "easy"),
            events=events,
            labels=labels,
            image_source="" if spoken is None or image is None else f"digits:{image}",
        )

    for number, index in enumerate(indices):
        for kind, answer in read_digit(int(targets[index])).items():
            yield make(kind, number, answer, None, int(index))
    for number, recording in enumerate(recordings):
        for kind, answer in hear_digit(recording.digit, recording.speaker).items():
            yield make(kind, number, answer, recording, None)
    spoken_by_digit = {d: [r for r in recordings if r.digit == d] for d in range(10)}
    if not all(spoken_by_digit.values()) or not all(len(v) for v in by_digit.values()):
        return
    count = job.option("pairs", 1) * len(recordings)
    for number in range(count):
        recording = recordings[number % len(recordings)]
        same = bool(rng.integers(2))
        other = (recording.digit + int(rng.integers(1, 10))) % 10
        index = int(rng.choice(by_digit[recording.digit if same else other]))
        yield make("match", number, "yes" if same else "no", recording, index)
    for number, (digit, other) in enumerate(_sum_pairs(rng, count)):
        recording = spoken_by_digit[digit][int(rng.integers(len(spoken_by_digit[digit])))]
        index = int(rng.choice(by_digit[other]))
        yield make("sum", number, WORDS[digit + other], recording, index)
