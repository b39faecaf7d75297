"""AudioCaps: `{split}.csv` with `audiocap_id,youtube_id,start_time,caption`.

The rows of one clip (five in val and test) become one Sample whose `answers` are the references.
The sound is `audio/{youtube_id}_{start}` with a suffix such as wav, flac, ogg, mp3 or m4a. An
optional column `difficulty` sets the difficulty; the default depends on the length of the captions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from safe.errors import DataError
from safe.hearing.data.annotations.base import (
    AUDIO_SUFFIXES,
    ReadJob,
    check_difficulty,
    check_name,
    majority,
    repeated_id,
)
from safe.hearing.data.annotations.captions import (
    PROMPT,
    TABLES,
    check_caption,
    difficulty_by_length,
)
from safe.hearing.data.annotations.raw import Row, csv_rows
from safe.hearing.data.annotations.tables import read_table
from safe.hearing.data.sample import Difficulty, MediaRef, Sample

COLUMNS = TABLES["audiocaps"]
OPTIONS = {
    "audio": "path of a clip's sound, from {youtube_id} and {start}; suffix optional",
    "events": "AVE-style Annotations.txt whose VideoID is the youtube_id",
    "prompt": f"question that asks for a caption (default: {PROMPT})",
}
FILES = {"": (r"\.csv\Z",)}


@dataclass(slots=True)
class _Clip:
    first_id: str
    captions: list[str] = field(default_factory=list)
    difficulty: str = ""


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every clip, once for each of its rows."""
    first: dict[str, str] = {}
    for row in csv_rows(job.annotation(f"{job.native}.csv")):
        clip = f"{row['youtube_id'].strip()}_{int(row['start_time'])}"
        yield Row(first.setdefault(clip, row["audiocap_id"].strip()), [clip])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield samples in order of each clip's first row. Keeps one split's captions in memory."""
    path = job.annotation(f"{job.native}.csv")
    clips: dict[tuple[str, int], _Clip] = {}
    seen: set[str] = set()
    suspicious: list[str] = []
    for line, row in read_table(path, COLUMNS, known=TABLES):
        native = check_name(row["audiocap_id"].strip(), where=path, line=line, key="audiocap_id")
        if native in seen:
            raise repeated_id(native, path, line, "audiocap_id")
        seen.add(native)
        youtube = check_name(row["youtube_id"].strip(), where=path, line=line, key="youtube_id")
        start = row["start_time"].strip()
        if not start.isdecimal():
            raise DataError(
                f"{start!r} is not a whole number of seconds",
                where=path,
                line=line,
                key="start_time",
                hint="correct the broken row",
            )
        caption = check_caption(row["caption"], path, line, "caption", suspicious)
        clip = clips.setdefault((youtube, int(start)), _Clip(native))
        clip.captions.append(caption)
        clip.difficulty = clip.difficulty or row.get("difficulty", "").strip()
        if clip.difficulty:
            check_difficulty(clip.difficulty, where=path, line=line)
    job.note("captions that look like a missing value", path, suspicious)
    pattern = job.option("audio", "audio/{youtube_id}_{start}")
    prompt = job.option("prompt", PROMPT)
    for (youtube, begin), clip in clips.items():
        difficulty = cast(Difficulty, clip.difficulty) or difficulty_by_length(clip.captions)
        yield Sample(
            id=job.sample_id(clip.first_id),
            dataset=job.config.name,
            split=job.split,
            task="caption",
            question=prompt,
            question_type="caption",
            answers=tuple(clip.captions),
            answer=majority(clip.captions),
            source=f"youtube:{youtube}@{begin}",
            audio=MediaRef(job.media(pattern, AUDIO_SUFFIXES, youtube_id=youtube, start=begin)),
            difficulty=difficulty,
            events=job.events_of(youtube),
        )
