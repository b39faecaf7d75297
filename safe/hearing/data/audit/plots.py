"""Histograms per dataset (duration, SNR, question length) and a contact sheet, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from safe.errors import MediaError
from safe.files import atomic
from safe.hearing.data.decode import load_image
from safe.hearing.data.sample import MediaRef

if TYPE_CHECKING:
    import duckdb

LEVELS = ("easy", "medium", "hard")
COLOURS = ("#7aa6c2", "#3f6f91", "#1d3b53")
COLUMNS, ROWS = 8, 3
TILE = 96  # side of a picture on the contact sheet, in pixels

_MEDIA = """
    SELECT s.difficulty, m.{column} FROM (
        SELECT audio_key, any_value(difficulty) AS difficulty FROM samples
        WHERE dataset = ? AND audio_key <> '' GROUP BY audio_key
    ) s JOIN media m ON m.key = s.audio_key WHERE m.{column} IS NOT NULL
"""
_WORDS = """
    SELECT difficulty, length(string_split(trim(
        CASE WHEN task = 'caption' THEN answer ELSE question END), ' '))
    FROM samples WHERE dataset = ?
"""
_SUBJECTS = {
    "duration": (_MEDIA.format(column="duration"), "duration of the sound (s)", "sounds"),
    "snr": (_MEDIA.format(column="snr_db"), "signal-to-noise ratio, estimated (dB)", "sounds"),
    "text_length": (_WORDS, "length of question or caption (words)", "rows"),
}


def draw_histograms(
    base: duckdb.DuckDBPyConnection, datasets: Sequence[str], folder: Path, *, media: bool
) -> list[Path]:
    """Draw one figure per dataset, by difficulty; panels without values say "no values".

    Returns:
        The files written, `histograms_DATASET.png`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    written = []
    for dataset in datasets:
        figure = Figure(figsize=(11, 3), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(dataset)
        axes = figure.subplots(1, len(_SUBJECTS))
        for axis, (name, (query, label, unit)) in zip(axes, _SUBJECTS.items(), strict=True):
            readable = media or name == "text_length"
            rows = base.execute(query, [dataset]).fetchall() if readable else []
            values = [np.array([v for level, v in rows if level == own]) for own in LEVELS]
            axis.set_xlabel(label)
            axis.set_ylabel(unit)
            if rows:
                every = np.concatenate(values)
                bins = np.linspace(every.min() - 0.5, every.max() + 0.5, 25)
                if name != "text_length":
                    bins = np.histogram_bin_edges(every, 25)
                axis.hist(values, bins=bins, stacked=True, color=COLOURS, label=LEVELS)
            else:
                axis.text(0.5, 0.5, "no values", ha="center", transform=axis.transAxes)
        axes[-1].legend(fontsize=7, frameon=False)
        path = folder / f"histograms_{dataset}.png"
        with atomic(path) as temporary:
            figure.savefig(temporary, format="png", dpi=90)
        written.append(path)
    return written


def draw_contact_sheet(
    base: duckdb.DuckDBPyConnection, dataset: str, path: Path, seed: int
) -> bool:
    """Draw a pseudorandom sample of a dataset's pictures; return False if it has none."""
    from PIL import Image

    rows = base.execute(
        """
        SELECT path, frame FROM media WHERE ok AND kind <> 'audio' AND dataset = ?
        ORDER BY hash(key || ?), key LIMIT ?
        """,
        [dataset, str(seed), COLUMNS * ROWS],
    ).fetchall()
    if not rows:
        return False
    sheet = Image.new("RGB", (COLUMNS * TILE, -(-len(rows) // COLUMNS) * TILE), "white")
    for place, (file, frame) in enumerate(rows):
        try:
            image = load_image(MediaRef(Path(file), frame=frame))
        except MediaError:
            continue  # was readable during the scan; the sheet is only an illustration
        image.thumbnail((TILE - 4, TILE - 4))
        grown = max(1, (TILE - 4) // max(image.size))
        image = image.resize((image.width * grown, image.height * grown), Image.Resampling.NEAREST)
        row, column = divmod(place, COLUMNS)
        sheet.paste(image, (column * TILE + 2, row * TILE + 2))
    with atomic(path) as temporary:
        sheet.save(temporary, format="PNG")
    return True
