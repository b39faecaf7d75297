"""Caption metrics of predicted captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safe.errors import DataError
from safe.hearing.evaluation.captions import METRICS, caption_scores, check_metrics
from safe.scoring.caption_files import FORMATS, Captions, read_predictions, read_references
from safe.scoring.report import Figure, Scored
from safe.scoring.results import shown


def score_captions(
    references: Path,
    predictions: Path | None = None,
    metrics: Sequence[str] | None = None,
    allow_incomplete: bool = False,
) -> Scored:
    """BLEU, ROUGE-L, CIDEr-D, METEOR, SPICE and SPIDEr over all items.

    Args:
        references: `caption_predicted,caption_1,...` as CSV; AudioCaps' CSV; or COCO's JSON.
        predictions: needed if `references` has none: a CSV such as `id,caption` or
            `youtube_id,caption`, or JSON such as COCO's results.
        metrics: names in `METRICS`, which may be separated by commas; None for all.
        allow_incomplete: score an item without a caption as an empty caption, and only count
            captions of unknown items; otherwise both are errors.

    Raises:
        ConfigError: an unknown metric.
        DataError: a file is invalid; names file, line or ids, and the fix.
    """
    wanted = METRICS if not metrics else _names(metrics)
    check_metrics(wanted)
    given = read_references(references)
    if given.predictions is None:
        captions, counts = _matched(given, predictions, allow_incomplete)
    elif predictions is None or predictions == references:
        captions, counts = given.predictions, {}
    else:
        raise DataError(
            "the file already has predictions",
            where=references,
            hint=f"leave out --predictions, or give {FORMATS}",
        )
    try:
        found = caption_scores(captions, given.references, wanted)
    except DataError as error:
        raise DataError(error.what, where=references, key=error.key, hint=error.hint) from None
    figures = {
        metric: Figure(found.corpus[metric])
        if metric in found.corpus
        else Figure(None, found.unavailable[metric])
        for metric in dict.fromkeys(wanted)
    }
    return Scored(
        task="captions",
        n=len(found.ids),
        figures=figures,
        counts=counts,
        notes={"tokenizer": _tokenizer(found.tokenizer, found.tokenizer_note)},
    )


def _names(metrics: Sequence[str]) -> tuple[str, ...]:
    parts = (part.strip() for text in metrics for part in text.split(","))
    return tuple(part.lower().replace("-", "_") for part in parts if part)


def _tokenizer(name: str, why: str) -> str:
    if name == "ptb":
        return "ptb (Stanford tokenizer, as in the official code)"
    return f"regex instead of ptb; values may differ slightly from the official code ({why})"


def _matched(
    given: Captions, path: Path | None, allow_incomplete: bool
) -> tuple[dict[str, str], dict[str, int]]:
    """Return the caption of every item, and counts of unanswered and unknown items."""
    if path is None:
        raise DataError(
            "the file has no predictions", where=given.path, hint="add --predictions FILE"
        )
    captions: dict[str, str] = {}
    unknown: dict[str, None] = {}  # in file order
    for line, native, caption in read_predictions(path):
        matches = given.items.get(native, set())
        if len(matches) > 1:
            raise DataError(
                f"{shown([native])} matches {len(matches)} items ({shown(sorted(matches))})",
                where=path,
                line=line,
                hint="identify the clip by youtube_id and start_time",
            )
        item = next(iter(matches), None)
        if item in captions or native in unknown:
            raise DataError(
                f"{shown([item or native])} has more than one caption",
                where=path,
                line=line,
                hint="keep one caption per item",
            )
        if item is None:
            unknown[native] = None
        else:
            captions[item] = caption
    missing = [item for item in given.references if item not in captions]
    if (missing or unknown) and not allow_incomplete:
        raise _incomplete(given, path, missing, list(unknown))
    captions |= dict.fromkeys(missing, "")
    return captions, {"unanswered": len(missing), "unknown": len(unknown)}


def _incomplete(
    given: Captions, path: Path, missing: Sequence[str], unknown: Sequence[str]
) -> DataError:
    faults = []
    if missing:
        faults.append(
            f"{len(missing)} of {len(given.references)} items have no caption ({shown(missing)})"
        )
    if unknown:
        faults.append(
            f"{len(unknown)} captions are of items that are not in {given.path.name} "
            f"({shown(unknown)})"
        )
    return DataError(
        " and ".join(faults),
        where=path,
        hint="give all captions of this split, and only those; with --allow-incomplete, items "
        "without a caption count as wrong and other captions are ignored",
    )
