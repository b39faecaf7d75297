"""`safe prepare-features`: compute frozen features once for all experiments that train.

Otherwise the first jobs of an experiment, which run in parallel, would encode the same media.
"""

from __future__ import annotations

import time
from pathlib import Path

from safe.digest import digest_file
from safe.files import write_json
from safe.hearing.config import RunConfig
from safe.hearing.training.collate import TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.frozen_models import open_base, use_threads
from safe.hearing.training.held_out import SPLITS, audio_rows, vl_rows
from safe.hearing.training.stage_a import select_stage_a
from safe.hearing.training.teacher import Teacher


def prepare_features(config: RunConfig) -> Path:
    """Fill the cache with the features of all examples that Stage A trains or is evaluated on.

    Returns:
        Path of results/RUN/features.json: numbers of examples and of encoded ones, and seconds.

    Raises:
        DataError: there is nothing to train on.
    """
    use_threads(config)
    started = time.perf_counter()
    opened = open_base(config)
    kind = opened.build(config, seed=config.seed).projector.input_kind
    features = Features(opened, config.cache, kind)
    encoder = TextEncoder(opened.vlm, opened.processor)
    manifest = config.folder / "data" / "manifest.parquet"
    rows = select_stage_a(config, manifest, features, encoder)
    held_out = {split: audio_rows(config, manifest, split, features, encoder) for split in SPLITS}
    vl_examples = vl_rows(config, manifest, features, encoder)
    teacher = Teacher(features, encoder, config.cache)
    teacher.ensure(rows.vl_examples)
    path = config.folder / "features.json"
    write_json(
        path,
        {
            "manifest": digest_file(manifest),
            **opened.digests,
            "rows": {
                "audio": len(rows.audio_examples),
                "vl": len(rows.vl_examples),
                "held_out_audio": {split: len(found) for split, found in held_out.items()},
                "held_out_vl": len(vl_examples),
            },
            "encoded": {**features.computed, "teacher": teacher.computed},
            "unusable": features.faults,
            "seconds": round(time.perf_counter() - started, 3),
        },
    )
    return path
