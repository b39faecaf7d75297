"""`write_world`: write small datasets in the public layouts, atomically."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safe.digest import digest_code
from safe.errors import ConfigError
from safe.files import translate_os_error
from safe.hearing.miniature.world.annotate import WRITERS
from safe.hearing.miniature.world.draw import draw_all, media_path, workers
from safe.hearing.miniature.world.faults import check_faults, only_yes, plant
from safe.hearing.miniature.world.plan import SPLITS, Item, Plan, ask_questions, make_items

GENERATOR_VERSION = 1


def world_parameters(
    *, seed: int, clips: int, images: int, videos: int, faults: Sequence[str]
) -> dict[str, Any]:
    """Return the parameters that determine a world's bytes; stored in `world.json`."""
    return {
        "generator_version": GENERATOR_VERSION,
        "generator_code": digest_code("safe.hearing.miniature.world.write"),
        "seed": seed,
        "clips": clips,
        "images": images,
        "videos": videos,
        "faults": sorted(set(faults)),
    }


def write_world(
    root: Path,
    *,
    seed: int,
    clips: int,
    images: int,
    videos: int,
    faults: Sequence[str] = (),
    processes: int = 2,
) -> None:
    """Write the miniature world below `root`; equal arguments give equal bytes.

    An existing world is replaced when the new one is complete.

    Args:
        clips: sounds of the AudioCaps part.
        images: pictures of the VQA v2 part; the GQA part has a third as many.
        videos: videos of the MUSIC-AVQA part.
        faults: names of `safe.hearing.miniature.world.faults.FAULTS`.
        processes: number of processes; does not affect the result.

    Raises:
        ConfigError: a fault is unknown, there are too few items, or `root` contains other files.
        SafeError: the disk is full or the folder is not writable.
    """
    from tqdm import tqdm

    parameters = world_parameters(
        seed=seed, clips=clips, images=images, videos=videos, faults=faults
    )
    check_faults(faults)
    root = Path(os.path.abspath(root))
    if root.exists() and not (root / "world.json").is_file() and _is_used(root):
        raise ConfigError(
            "the path exists and is not a miniature world",
            where=root,
            hint="use an empty or a new folder; nothing was changed",
        )
    plan = make_items(seed, clips, images, videos)
    plant(plan, faults)
    ask_questions(plan, only_yes(plan))
    total = sum(len(items) for items in plan.items.values())
    with (
        _replacing(root) as folder,
        tqdm(total=total, desc="miniature world", unit="file", mininterval=1) as bar,
        workers(processes, total) as team,
    ):
        draw_all(plan, folder, team, bar)
        for item, split in plan.leaked:
            if media_path(item, split) != media_path(item):
                shutil.copyfile(folder / media_path(item), folder / media_path(item, split))
        for write in WRITERS.values():
            write(plan, folder)
        (folder / "truth.json").write_text(json.dumps(_truth(plan), sort_keys=True))
        summary = {"parameters": parameters, "counts": _counts(plan)}
        (folder / "world.json").write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n")


def is_current(root: Path, **parameters: Any) -> bool:
    """Return whether `root` contains the world of exactly these parameters."""
    try:
        found = json.loads((root / "world.json").read_text())["parameters"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(found == world_parameters(**parameters))


def _is_used(root: Path) -> bool:
    return not root.is_dir() or any(root.iterdir())


@contextmanager
def _replacing(root: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `root` at the end; remove leftovers of killed runs."""
    with translate_os_error(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        for left in root.parent.glob(f".{root.name}.*.new"):
            if not _is_alive(left.name.split(".")[-2]):
                shutil.rmtree(left, ignore_errors=True)
        folder = root.with_name(f".{root.name}.{os.getpid()}.new")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            with translate_os_error(root):  # before the cleanup frees disk space
                yield folder
            if root.exists():
                old = root.with_name(f".{root.name}.{os.getpid()}.old.new")
                root.rename(old)
                folder.rename(root)
                shutil.rmtree(old)
            else:
                folder.rename(root)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _counts(plan: Plan) -> dict[str, Any]:
    return {
        name: {
            split: {
                "media": len(plan.of(name, split)),
                "questions": sum(len(item.questions) for item in plan.of(name, split)),
            }
            for split in SPLITS
        }
        for name in plan.items
    }


def _truth(plan: Plan) -> dict[str, Any]:
    """Return the true content of every file, for oracle tests only."""
    return {
        "faults": plan.faults,
        **{
            name: {media_path(i): _truth_of(i) for i in items} for name, items in plan.items.items()
        },
    }


def _truth_of(item: Item) -> dict[str, Any]:
    row: dict[str, Any] = {"split": item.split, "difficulty": item.difficulty}
    if item.scene is not None:
        row["cells"] = [c and [c.kind, c.colour] for c in item.scene.cells]
    if item.sound is not None:
        row["snr_db"] = item.sound.snr_db
        row["events"] = [[e.label, e.start, e.end, e.level_db] for e in item.sound.events]
    if item.copy_of:
        row["copy_of"] = item.copy_of
    return row
