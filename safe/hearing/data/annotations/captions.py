"""Shared code of the caption tables (AudioCaps, Clotho)."""

from __future__ import annotations

from pathlib import Path

from safe.errors import DataError
from safe.hearing.data.sample import Difficulty

PROMPT = "What do you hear?"
# Columns by layout, for the error about a table of another layout.
TABLES = {
    "audiocaps": ("audiocap_id", "youtube_id", "start_time", "caption"),
    "clotho": ("file_name", *(f"caption_{n}" for n in range(1, 6))),
}
# What programs write for a missing value; it might also be a caption.
_MISSING = frozenset(("nan", "null", "none", "n/a", "na", "<na>", "undefined"))


def check_caption(text: str, path: Path, line: int, key: str, suspicious: list[str]) -> str:
    """Return the caption without outer spaces; add one that looks like a missing value to a list.

    Raises:
        DataError: the caption is empty.
    """
    caption = text.strip()
    if not caption:
        raise DataError(
            "the caption is empty",
            where=path,
            line=line,
            key=key,
            hint="give the clip a caption or remove the row",
        )
    if caption.lower() in _MISSING:
        suspicious.append(f"{caption!r} (line {line})")
    return caption


def difficulty_by_length(captions: list[str]) -> Difficulty:
    """Easy up to 7 words on average, medium up to 12 (the mean of AudioCaps is about 9)."""
    words = sum(len(c.split()) for c in captions) / len(captions)
    return "easy" if words <= 7 else "medium" if words <= 12 else "hard"
