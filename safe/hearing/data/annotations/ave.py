"""AVE's `Annotations.txt`: audio-visual events with their times in a clip.

One header line, then `Category&VideoID&Quality&StartTime&EndTime`; times are seconds of the clip.
`options.events` attaches the events to samples of another layout. An optional sixth column
`Modality` (audio, visual or both) gives the modality of the event; AVE's own events are `both`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, cast

from safe.errors import DataError
from safe.hearing.data.annotations.tables import read_table
from safe.hearing.data.sample import Event

Modality = Literal["audio", "visual", "both"]
COLUMNS = ("Category", "VideoID", "Quality", "StartTime", "EndTime")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_events(path: Path) -> dict[str, list[Event]]:
    """Return events by VideoID, in order of time.

    Raises:
        DataError: the file does not exist, a row is malformed, or its times are not an interval.
    """
    events: dict[str, list[Event]] = {}
    for line, row in read_table(path, COLUMNS, delimiter="&", quoted=False):
        start, end = _seconds(row["StartTime"]), _seconds(row["EndTime"])
        if not (math.isfinite(end) and 0 <= start < end):
            raise DataError(
                f"{row['StartTime']} to {row['EndTime']} is not an interval in seconds",
                where=path,
                line=line,
                key="StartTime",
                hint="StartTime and EndTime must be seconds with 0 <= start < end",
            )
        modality = row.get("Modality", "both")
        if modality not in ("audio", "visual", "both"):
            raise DataError(
                f"unknown modality {modality!r}",
                where=path,
                line=line,
                key="Modality",
                hint="use audio, visual or both",
            )
        event = Event(row["Category"].strip(), start, end, cast(Modality, modality))
        events.setdefault(row["VideoID"].strip(), []).append(event)
    for found in events.values():
        found.sort(key=lambda e: (e.start, e.end, e.label))
    return events
