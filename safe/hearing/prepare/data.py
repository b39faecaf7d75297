"""`safe prepare-data`: write the world, if the run has one, then manifest, media and data.json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from safe.digest import digest_json
from safe.errors import DataError
from safe.files import write_json
from safe.hearing.config import RunConfig, WorldConfig
from safe.hearing.data.layouts import Problem, read_dataset
from safe.hearing.data.manifest import iterate_samples, write_manifest
from safe.hearing.data.media import scan_media
from safe.hearing.data.sample import Sample


def ensure_world(world: WorldConfig) -> None:
    """Write the world unless its folder already contains it."""
    from safe.hearing.miniature.world import is_current, write_world

    if not is_current(world.root, **_parameters(world)):
        write_world(world.root, **_parameters(world))


def check_world(config: RunConfig) -> None:
    """Check that `world.root` contains this run's world, not one written later by another run.

    Raises:
        DataError: `world.root` does not contain the world of this config.
    """
    from safe.hearing.miniature.world import is_current

    world = config.world
    if world is not None and not is_current(world.root, **_parameters(world)):
        raise DataError(
            "this is not the world that the run was made from",
            where=world.root,
            key="world.root",
            hint=f"restore it with `{_command(world)}`, which reruns no measurement; use a "
            "different `world.root` for each world",
        )


def _command(world: WorldConfig) -> str:
    """Return the command that writes the world without changing a run."""
    options = [f"--{key}={value}" for key, value in _parameters(world).items() if key != "faults"]
    faults = [f"--fault={fault}" for fault in world.faults]
    return shlex.join(["safe", "world", str(world.root), *options, *faults])


def _parameters(world: WorldConfig) -> dict[str, Any]:
    return world.model_dump(include={"seed", "clips", "images", "videos", "faults"})


def read_all(config: RunConfig, problems: list[Problem]) -> Iterator[Sample]:
    """Yield every sample of every dataset of the run."""
    for dataset in config.datasets:
        yield from read_dataset(dataset, problems)


def prepare_data(config: RunConfig) -> None:
    """Write results/RUN/data/{manifest.parquet, media.parquet, data.json}.

    Media are decoded for datasets with `media: true`. `data.json` contains the digest of manifest
    and decoded media, counts by dataset, split, task and difficulty, undecodable media by dataset
    and reason, and the irregularities that the readers found.

    Raises:
        DataError: a dataset does not follow its layout.
    """
    if config.world is not None:
        ensure_world(config.world)
    folder = config.folder / "data"
    problems: list[Problem] = []
    manifest = folder / "manifest.parquet"
    summary = write_manifest(read_all(config, problems), manifest)
    with_media = {dataset.name for dataset in config.datasets if dataset.media}
    media = scan_media(
        (s for s in iterate_samples(manifest) if s.dataset in with_media),
        folder / "media.parquet",
        processes=config.threads,
    )
    write_json(
        folder / "data.json",
        {
            "digest": digest_json([summary["digest"], media["digest"]]),
            "rows": summary["rows"],
            "counts": summary["counts"],
            "media": {key: media[key] for key in ("media", "ok")},
            "undecodable": undecodable(folder / "media.parquet"),
            "without_media": sorted({d.name for d in config.datasets} - with_media),
            "problems": [asdict(problem) for problem in problems],
        },
    )


def undecodable(path: Path) -> list[dict[str, Any]]:
    """Return undecodable files by dataset, kind and reason, with counts and examples."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    with pq.ParquetFile(path) as file:
        columns = ["dataset", "kind", "path", "ok", "reason"]
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                if not row["ok"]:
                    key = (row["dataset"], row["kind"], row["reason"])
                    groups.setdefault(key, []).append(Path(row["path"]).name)
    return [
        {"dataset": d, "kind": k, "reason": r, "files": len(names), "examples": names[:5]}
        for (d, k, r), names in sorted(groups.items())
    ]


def read_data_json(config: RunConfig) -> dict[str, Any]:
    """Read the run's data.json.

    Raises:
        DataError: the file is missing or invalid, e.g. `safe prepare-data` has not run.
    """
    path = config.folder / "data" / "data.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, hint="run `safe prepare-data` first"
        ) from None
    return found
