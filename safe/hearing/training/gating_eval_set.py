"""The questions of a split, each paired with a sound that a gate can use or skip.

Questions that need their sound are paired with it. Picture questions are paired with the clip of
another recording, which never helps to answer them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safe.errors import DataError
from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import iterate_samples, load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features

HEARING, TASKS = ("audio", "av"), ("audio", "av", "vl")


@dataclass(frozen=True)
class GatingEvalSet:
    """Questions in random order, and the number of omitted ones.

    Attributes:
        rows: `row.heard` has the paired sound.
        shared: omitted because a source is in `apart_from`.
        unusable: omitted because the picture or sound is unusable.
    """

    rows: list[Example]
    shared: int
    unusable: int


def sources_of(sample: Sample) -> set[str]:
    """Keys of the recordings and pictures of a sample."""
    return {key for key in (sample.source, sample.image_source) if key}


def split_sources(manifest: Path, split: str) -> set[str]:
    """All sources of a split, of every task."""
    return {key for s in iterate_samples(manifest, split=split) for key in sources_of(s)}


def found_in(manifest: Path, split: str, listed: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of listed questions that are in `split` or use a recording or picture of it.

    Args:
        listed: rows with `id`, `source`, `image_source` and `heard_source`.
    """
    ids = {s.id for s in iterate_samples(manifest, split=split)}
    sources = split_sources(manifest, split)
    used = ("source", "image_source", "heard_source")
    return [
        row["id"]
        for row in listed
        if row["id"] in ids or not sources.isdisjoint(map(row.get, used))
    ]


def gating_eval_set(
    config: RunConfig,
    manifest: Path,
    split: str,
    features: Features,
    encoder: TextEncoder,
    *,
    items: int | None,
    apart_from: Set[str] = frozenset(),
) -> GatingEvalSet:
    """Select the questions of tasks audio, av and vl and encode their media.

    Args:
        items: maximum number of questions of each task; None selects all.
        apart_from: sources to exclude. A dataset that is split by question has recordings in
            several splits.

    Raises:
        DataError: there is no usable audio question, or no usable picture question.
    """
    rng = np.random.default_rng([config.seed, 8, ("train", "val", "test").index(split)])
    by_task: dict[str, list[Sample]] = {}
    shared = 0
    for task in TASKS:
        found = load_samples(manifest, split=split, task=task)
        kept = [s for s in found if sources_of(s).isdisjoint(apart_from)]
        shared += len(found) - len(kept)
        order = rng.permutation(len(kept))[:items]
        by_task[task] = [kept[i] for i in sorted(order)]
    audio_examples = [s for task in HEARING for s in by_task[task]]
    features.ensure([*audio_examples, *by_task["vl"]], audio_examples)
    usable, vl_examples = features.usable(audio_examples), features.usable(by_task["vl"])
    for kind, samples in (("needs its sound", usable), ("is about a picture alone", vl_examples)):
        if not samples:
            raise DataError(
                f"split {split!r} has no usable question that {kind}"
                + (f" ({shared} share a source with another split)" if shared else ""),
                where=manifest,
                hint="see 01_data_preflight for files that do not load, and the datasets' splits",
            )
    clips = list({s.source: s for s in usable}.values())
    rows = [encoder.row(s, s) for s in usable]
    for sample in vl_examples:
        mine = sources_of(sample)
        others = [c for c in clips if mine.isdisjoint(sources_of(c))] or clips
        rows.append(encoder.row(sample, others[int(rng.integers(len(others)))]))
    encoder.check_fits(rows, config.adapter.audio_tokens)
    left_out = len(audio_examples) + len(by_task["vl"]) - len(rows)
    return GatingEvalSet([rows[i] for i in rng.permutation(len(rows))], shared, left_out)
