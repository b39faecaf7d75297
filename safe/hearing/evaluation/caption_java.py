"""METEOR and SPICE, which are Java programs, called as in pycocoevalcap 1.2.

METEOR 1.5: Denkowski and Lavie 2014. SPICE: Anderson et al. 2016, https://arxiv.org/abs/1607.08822.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from safe.hearing.evaluation import java
from safe.hearing.evaluation.caption_overlap import References, Scores
from safe.hearing.evaluation.caption_tokens import package

LONGEST = 10_000  # words; run time of METEOR's search and SPICE's parser is superlinear in it
METEOR_MEMORY_MB, SPICE_MEMORY_MB = 2048, 8192  # as in pycocoevalcap
SECONDS, SECONDS_AN_ITEM = 300, 0.5

SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
FETCH_SPICE = (
    'python -c "from pycocoevalcap.spice.get_stanford_models import get_stanford_models; '
    'get_stanford_models()"'
)


def meteor(candidates: Mapping[str, str], references: References) -> Scores:
    """Compute METEOR over all items, from summed statistics, and per item, (N,).

    Args:
        candidates, references: tokens joined by spaces, with the same ids.

    Raises:
        Unavailable: Java is missing or fails, or a caption is too long.
    """
    _check_lengths(candidates, "METEOR")
    jar = str(package() / "meteor/meteor-1.5.jar")
    program = ["-jar", jar, "-", "-", "-stdio", "-l", "en", "-norm"]
    limit = SECONDS + SECONDS_AN_ITEM * len(candidates)
    with java.session(program, memory_mb=METEOR_MEMORY_MB, seconds=limit) as (write, read):
        statistics = []
        for name, candidate in candidates.items():
            write(" ||| ".join(["SCORE", *references[name], candidate]))
            statistics.append(read())
        write(" ||| ".join(["EVAL", *statistics]))
        *each, overall = [_number(read()) for _ in range(len(candidates) + 1)]
    return overall, np.array(each)


def missing_spice_jars() -> list[str]:
    """Return the jars that SPICE needs and that are not installed; they are not downloaded."""
    lib = package() / "spice" / "lib"
    return [name for name in SPICE_JARS if not (lib / name).is_file()]


def spice(candidates: Mapping[str, str], references: References) -> Scores:
    """Compute the mean SPICE F-score and per item, (N,). Args and raises as in `meteor`."""
    java.command([], SPICE_MEMORY_MB)
    if missing := missing_spice_jars():
        raise java.Unavailable(
            f"SPICE's parser is not installed ({', '.join(missing)}); download it (some hundred "
            f"MB) with: {FETCH_SPICE}"
        )
    _check_lengths(candidates, "SPICE")
    rows = [
        {"image_id": name, "test": candidate, "refs": list(references[name])}
        for name, candidate in candidates.items()
    ]
    with tempfile.TemporaryDirectory(prefix="safe-spice-") as folder:
        source, target = Path(folder, "captions.json"), Path(folder, "scores.json")
        source.write_text(json.dumps(rows), encoding="utf-8")
        java.run(
            ["-jar", package() / "spice/spice-1.0.jar", source, "-out", target, "-silent"],
            memory_mb=SPICE_MEMORY_MB,
            seconds=SECONDS + SECONDS_AN_ITEM * len(candidates),
        )
        scores = _spice_scores(target)
    if absent := [name for name in candidates if name not in scores]:
        raise java.Unavailable(f"SPICE gave no score for {len(absent)} items, e.g. {absent[0]!r}")
    each = np.array([scores[name] for name in candidates])
    return float(each.mean()), each


def _spice_scores(path: Path) -> dict[str, float]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {row["image_id"]: _number(row["scores"]["All"]["f"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise java.Unavailable(f"SPICE's output cannot be read: {error!r}") from None


def _number(text: object) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise java.Unavailable(f"the Java program gave {str(text)[:60]!r} as a score")
    return value


def _check_lengths(candidates: Mapping[str, str], metric: str) -> None:
    for name, candidate in candidates.items():
        if (words := candidate.count(" ") + 1) > LONGEST:
            raise java.Unavailable(
                f"the caption of {name[:60]!r} has {words} words; {metric} supports up to "
                f"{LONGEST}: shorten it"
            )
