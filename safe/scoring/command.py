"""`safe score ...`: official metrics of result files. Heavy imports happen inside the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safe.console import echo_json

if TYPE_CHECKING:
    from safe.scoring.report import Scored

app = typer.Typer(no_args_is_help=True, help="Official metrics of files with answers or captions.")

Annotations = Annotated[Path, typer.Option(help="annotations as published")]
Results = Annotated[Path, typer.Option(help='JSON list of {"question_id": ..., "answer": ...}')]
Incomplete = Annotated[
    bool,
    typer.Option(
        "--allow-incomplete", help="score items without an answer as wrong; only count unknown ids"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for a script to read")]


@app.command()
def vqav2(
    annotations: Annotations,
    results: Results,
    allow_incomplete: Incomplete = False,
    as_json: AsJson = False,
) -> None:
    """VQA accuracy by the official rule, over all, by answer type and by question type."""
    from safe.scoring.accuracy import score_vqav2

    _show(score_vqav2(annotations, results, allow_incomplete=allow_incomplete), as_json)


@app.command()
def gqa(
    annotations: Annotations,
    results: Annotated[
        Path, typer.Option(help='JSON list of {"questionId": "...", "prediction": "..."}')
    ],
    allow_incomplete: Incomplete = False,
    as_json: AsJson = False,
) -> None:
    """GQA accuracy, over all, open and binary, by structural and by semantic type."""
    from safe.scoring.accuracy import score_gqa

    _show(score_gqa(annotations, results, allow_incomplete=allow_incomplete), as_json)


@app.command("music-avqa")
def music_avqa(
    annotations: Annotations,
    results: Results,
    allow_incomplete: Incomplete = False,
    as_json: AsJson = False,
) -> None:
    """MUSIC-AVQA accuracy, over all, by modality and by type of question."""
    from safe.scoring.accuracy import score_music_avqa

    _show(score_music_avqa(annotations, results, allow_incomplete=allow_incomplete), as_json)


@app.command()
def captions(
    references: Annotated[
        Path,
        typer.Option(help="AudioCaps' CSV, COCO's JSON, or CSV: caption_predicted,caption_1,..."),
    ],
    predictions: Annotated[
        Path | None,
        typer.Option(help="CSV: youtube_id,caption or id,caption; or COCO's results as JSON"),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="comma-separated or repeated: bleu_4, cider_d, ...; by default all"),
    ] = None,
    allow_incomplete: Incomplete = False,
    as_json: AsJson = False,
) -> None:
    """BLEU, ROUGE-L, CIDEr-D, METEOR, SPICE and SPIDEr of captions."""
    from safe.scoring.captions import score_captions

    _show(score_captions(references, predictions, metrics, allow_incomplete), as_json)


def _show(scored: Scored, as_json: bool) -> None:
    if as_json:
        echo_json(scored.as_dict())
    else:
        typer.echo(scored.as_text())
