"""Held-out examples for the evaluations of experiments 04 and 08 to 12."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from safe.errors import DataError
from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.training.background_noise import background_noise
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features

SPLITS = ("val", "test")


def pick(
    candidates: list[Sample],
    wanted: int,
    features: Features,
    rng: np.random.Generator,
    *,
    audible: bool,
) -> list[Sample]:
    """Return up to `wanted` random samples with usable media.

    Samples with the same question, recording and picture count as one.

    Args:
        audible: the sounds must be usable too.
    """
    order = [candidates[i] for i in rng.permutation(len(candidates))]
    distinct = {(s.question, s.source, s.image_source): s for s in reversed(order)}
    unique = list(distinct.values())[::-1]
    chosen: list[Sample] = []
    while unique and len(chosen) < wanted:
        batch, unique = unique[: wanted - len(chosen)], unique[wanted - len(chosen) :]
        features.ensure(batch, batch if audible else [])
        chosen += features.usable(batch)
    return chosen


def audio_rows(
    config: RunConfig, manifest: Path, split: str, features: Features, encoder: TextEncoder
) -> list[Example]:
    """Examples of a split that need their sound, paired with it; encodes their media."""
    found = [s for task in ("audio", "av") for s in load_samples(manifest, split=split, task=task)]
    rng = np.random.default_rng([config.seed, 5])
    chosen = pick(found, config.held_out.audio_items, features, rng, audible=True)
    return [encoder.row(s, s) for s in chosen]


def vl_samples(config: RunConfig, manifest: Path) -> list[Sample]:
    """VL samples of val and test, at most `held_out.vl_items` of each dataset."""
    by_dataset: dict[str, list[Sample]] = {}
    for split in SPLITS:
        for sample in load_samples(manifest, split=split, task="vl"):
            by_dataset.setdefault(sample.dataset, []).append(sample)
    rng = np.random.default_rng([config.seed, 6])
    return [
        samples[i]
        for _, samples in sorted(by_dataset.items())
        for i in sorted(rng.permutation(len(samples))[: config.held_out.vl_items])
    ]


def vl_rows(
    config: RunConfig, manifest: Path, features: Features, encoder: TextEncoder
) -> list[Example]:
    """Held-out VL examples, each paired with an unrelated sound.

    The sound is the clip of another held-out recording or, as often as in training, background
    noise.
    """
    samples = vl_samples(config, manifest)
    clips = {
        s.source: s
        for split in SPLITS
        for task in ("audio", "av")
        for s in load_samples(manifest, split=split, task=task)
    }
    sounds = list(clips.values())[: config.held_out.vl_items]
    background = background_noise(config.cache, config.seed + 1)  # differs from training
    features.ensure(samples, [*sounds, *background])
    sounds, background = features.usable(sounds), features.usable(background)
    rng = np.random.default_rng([config.seed, 7])
    rows = []
    for sample in features.usable(samples):
        quiet = bool(background) and rng.random() < config.stage_a.background_noise_fraction
        pool = (
            background if quiet else [s for s in sounds if s.source != sample.source] or background
        )
        rows.append(encoder.row(sample, pool[int(rng.integers(len(pool)))]))
    return rows


def swap_sounds(rows: Sequence[Example]) -> list[Example]:
    """The same questions and pictures, each with the sound of the example half the list away."""
    half = max(1, len(rows) // 2)
    return [
        dataclasses.replace(row, heard=rows[(i + half) % len(rows)].heard)
        for i, row in enumerate(rows)
    ]


def subsample_evenly(rows: Sequence[Example], wanted: int) -> list[Example]:
    """Return at most `wanted` examples, evenly spaced over the list.

    Raises:
        DataError: the list is empty.
    """
    if not rows:
        raise DataError(
            "there are no held-out examples",
            hint="give the run a validation split with audio and VL questions",
        )
    places = np.linspace(0, len(rows) - 1, min(wanted, len(rows))).round().astype(int)
    return [rows[i] for i in places]
