"""`Sample`: the common type that all dataset layouts are read into."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safe.errors import MediaError

Task = Literal["vl", "audio", "av", "caption"]
Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class MediaRef:
    """Reference to a sound, an image, or a track or frame of a video.

    Attributes:
        path: absolute path below the dataset's root (checked by the reader).
        start: start of the clip in the file, in seconds.
        duration: duration of the clip in seconds; None means to the end.
        frame: for an image from a video, the time of the frame in seconds.
    """

    path: Path
    start: float = 0.0
    duration: float | None = None
    frame: float | None = None


def media_fault(
    what: str, path: Path, hint: str = "replace the file, or remove its rows"
) -> MediaError:
    """Build the error for a media file that cannot be used."""
    return MediaError(what, where=path, hint=hint)


@dataclass(frozen=True, slots=True)
class Event:
    """An annotated visible or audible event from `start` to `end` seconds of the clip."""

    label: str
    start: float
    end: float
    modality: Literal["audio", "visual", "both"] = "both"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question (or caption request) about an image, a sound, or both.

    Attributes:
        id: `dataset/split/native-id`, unique in the run.
        dataset: name in the config.
        split: `train`, `val` or `test`.
        task: `vl` needs only the image, `audio` only the sound, `av` both, `caption` describes
            the sound.
        question: text of the question; for captions the prompt.
        question_type: the dataset's own type (colour, counting, ...), for per-type results.
        answers: all reference answers (ten for VQA v2, one to five captions for AudioCaps).
        answer: the training target: the most common reference (on a tie, the first given).
        image, audio: media, or None.
        source: key of the source media, e.g. `youtube:ID@30`, `coco:123`, `video:00000028`;
            samples with equal keys come from the same recording or picture.
        difficulty: easy, medium or hard.
        image_source: key of the picture if its source differs from the sound's (e.g. a spoken digit
            with a handwritten image); empty otherwise.
        events: annotated events with times, if the dataset has them.
        labels: declared label fields for audits (e.g. {"answer": "yes", "speaker": "theo"}).
    """

    id: str
    dataset: str
    split: str
    task: Task
    question: str
    question_type: str
    answers: tuple[str, ...]
    answer: str
    source: str
    image: MediaRef | None = None
    audio: MediaRef | None = None
    difficulty: Difficulty = "easy"
    events: tuple[Event, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    image_source: str = ""
