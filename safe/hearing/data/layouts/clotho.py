"""Clotho: `clotho_captions_{split}.csv` with `file_name,caption_1,...,caption_5`.

The five captions of a clip are the references of one Sample. The sound is `{split}/{file_name}`;
the splits are called development, validation and evaluation. DCASE's captioning task uses the same
files.
"""

from __future__ import annotations

from collections.abc import Iterator

from safe.errors import DataError
from safe.hearing.data.annotations.base import AUDIO_SUFFIXES, ReadJob, repeated_id
from safe.hearing.data.annotations.captions import (
    PROMPT,
    TABLES,
    check_caption,
    difficulty_by_length,
)
from safe.hearing.data.annotations.raw import Row, csv_rows
from safe.hearing.data.annotations.tables import read_table
from safe.hearing.data.sample import MediaRef, Sample

COLUMNS = TABLES["clotho"]
OPTIONS = {
    "audio": "path of a clip's sound, from {split} and {file_name}",
    "prompt": f"question that asks for a caption (default: {PROMPT})",
}
FILES = {"": (r"captions",)}


def census(job: ReadJob) -> Iterator[Row]:
    """Yield every clip."""
    for row in csv_rows(job.annotation(f"clotho_captions_{job.native}.csv")):
        yield Row(row["file_name"].strip(), [row["file_name"].strip()])


def read(job: ReadJob) -> Iterator[Sample]:
    """Yield samples in file order."""
    path = job.annotation(f"clotho_captions_{job.native}.csv")
    pattern, prompt = job.option("audio", "{split}/{file_name}"), job.option("prompt", PROMPT)
    seen: set[str] = set()
    suspicious: list[str] = []
    for line, row in read_table(path, COLUMNS, known=TABLES):
        name = row["file_name"].strip()
        # Names are titles from Freesound, with spaces and punctuation.
        if not name or "/" in name or "\\" in name or name.startswith("."):
            raise DataError(
                f"{name!r} is not the name of a file",
                where=path,
                line=line,
                key="file_name",
                hint="correct the broken row",
            )
        if name in seen:
            raise repeated_id(name, path, line, "file_name")
        seen.add(name)
        captions = [check_caption(row[key], path, line, key, suspicious) for key in COLUMNS[1:]]
        yield Sample(
            id=job.sample_id(name),
            dataset=job.config.name,
            split=job.split,
            task="caption",
            question=prompt,
            question_type="caption",
            answers=tuple(captions),
            answer=captions[0],
            source=f"clotho:{name}",
            audio=MediaRef(job.media(pattern, AUDIO_SUFFIXES, split=job.native, file_name=name)),
            difficulty=difficulty_by_length(captions),
        )
    job.note("captions that look like a missing value", path, suspicious)
