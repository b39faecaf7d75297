"""`Sample`: the one shape that every dataset layout is read into."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Task = Literal["vl", "audio", "av", "caption"]
Difficulty = Literal["easy", "medium", "hard"]


@dataclass(frozen=True, slots=True)
class MediaRef:
    """Where a sound, an image or a video's track lies.

    Attributes:
        path: absolute path below the dataset's root (the reader has checked that it stays there).
        start: seconds into the file where the clip begins.
        duration: seconds of the clip; None means to the end.
        frame: for an image taken from a video, the time in seconds of the frame.
    """

    path: Path
    start: float = 0.0
    duration: float | None = None
    frame: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something annotated as seen or heard from `start` to `end` seconds of the clip."""

    label: str
    start: float
    end: float
    modality: Literal["audio", "visual", "both"] = "both"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question (or caption request) about an image, a sound, or both.

    Attributes:
        id: unique in the run, `dataset/split/native-id`.
        dataset: name given in the config.
        split: `train`, `val` or `test`.
        task: `vl` needs only the image, `audio` only the sound, `av` both, `caption` describes
            the sound.
        question: text of the question; for captions the prompt.
        question_type: the dataset's own type (colour, counting, ...), for per-type results.
        answers: every reference answer (ten for VQA v2, one to five captions for AudioCaps).
        answer: the training target: most common reference (ties: first given).
        image, audio: media, or None where the sample has none by its nature.
        source: key of the source media, e.g. `youtube:ID@30`, `coco:123`, `video:00000028`;
            two samples with one key come from the same recording or picture.
        difficulty: easy, medium or hard.
        image_source: key of the picture where it does not come from the same recording as the
            sound (digits: a recording beside a handwritten image); empty otherwise.
        events: annotated events with times, where the dataset has them.
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
