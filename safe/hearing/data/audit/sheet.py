"""The spot-check sheet: one HTML file with picture, audio player and question of some samples.

A person marks each sample, enters their name and saves the verdicts, which experiment 01 reads from
`preflight.verdict_file`. All text from the data is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from safe.errors import MediaError
from safe.files import write_text
from safe.hearing.data.decode import load_audio, load_image
from safe.hearing.data.sample import MediaRef, Sample

SECONDS = 6.0  # of sound in the sheet
SIDE = 192  # pixels

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Spot-check: {title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  color: #1d2b36 }}
article {{ display: grid; grid-template-columns: 200px 1fr; gap: 1rem;
  border-top: 1px solid #ccd6dd; padding: 1rem 0 }}
img {{ width: 192px; image-rendering: pixelated }}
.none {{ color: #6b7a86 }}
code {{ color: #6b7a86; font-size: 12px }}
</style></head><body>
<h1>Spot-check: {title}</h1>
<p>Mark every pair whose picture, sound and text obviously do not belong together. Then enter your
name, save, and set <code>preflight.verdict_file</code> in the run config to the saved file.</p>
{articles}
<p><label>Your name <input id="name"></label> <button id="save">Save verdicts</button></p>
<script>
document.getElementById("save").onclick = () => {{
  const name = document.getElementById("name").value.trim();
  if (!name) {{ alert("Please type your name."); return; }}
  const verdicts = {{}};
  document.querySelectorAll("article").forEach(a => {{
    const chosen = a.querySelector("input:checked");
    if (chosen) verdicts[a.dataset.id] = chosen.value;
  }});
  const file = {{signed_by: name, date: new Date().toISOString().slice(0, 10), verdicts}};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 2)]));
  link.download = "verdicts.json";
  link.click();
}};
</script></body></html>
"""
_ARTICLE = """<article data-id="{id}"><div>{image}</div><div>
<p><strong>{question}</strong><br>{answer}</p><p>{audio}</p><p>{events}</p>
<p><label><input type="radio" name="{place}" value="matched"> belong together</label>
<label><input type="radio" name="{place}" value="mismatched"> obviously do not</label></p>
<code>{id}</code></div></article>
"""


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _image(ref: MediaRef | None) -> str:
    if ref is None:
        return '<span class="none">no picture</span>'
    try:
        image = load_image(ref)
    except MediaError as error:
        return f'<span class="none">{escape(error.what)}</span>'
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f'<img alt="" src="{_data_uri("image/png", buffer.getvalue())}">'


def _audio(ref: MediaRef | None) -> str:
    import soundfile

    if ref is None:
        return '<span class="none">no sound</span>'
    try:
        wave = load_audio(ref, 16000)[: int(SECONDS * 16000)]
    except MediaError as error:
        return f'<span class="none">{escape(error.what)}</span>'
    buffer = io.BytesIO()
    soundfile.write(buffer, np.asarray(wave), 16000, format="WAV", subtype="PCM_16")
    return f'<audio controls src="{_data_uri("audio/wav", buffer.getvalue())}"></audio>'


def write_sheet(samples: Sequence[Sample], path: Path, title: str) -> None:
    """Write the sheet of `samples` to `path`."""
    articles = "".join(
        _ARTICLE.format(
            id=escape(sample.id),
            place=place,
            image=_image(sample.image),
            audio=_audio(sample.audio),
            question=escape(sample.question),
            answer=escape(" / ".join(dict.fromkeys(sample.answers))),
            events=escape(", ".join(f"{e.label} {e.start:g}–{e.end:g} s" for e in sample.events)),
        )
        for place, sample in enumerate(samples)
    )
    write_text(path, _PAGE.format(title=escape(title), articles=articles))
