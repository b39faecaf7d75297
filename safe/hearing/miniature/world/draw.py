"""Generate the items' files, and keep items of different splits distinguishable.

Every item has its own seeds, so the bytes do not depend on the number of processes or their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from safe.errors import DataError
from safe.hearing.data.audio_features import describe_audio
from safe.hearing.miniature.world.media import FRAMES_PER_SECOND, save_audio, save_jpeg, save_video
from safe.hearing.miniature.world.plan import SPLITS, Item, Plan
from safe.hearing.miniature.world.scene import Style, draw_style, paint
from safe.hearing.miniature.world.sound import DURATION, SAMPLES, synthesize
from safe.hearing.miniature.world.voices import RATE
from safe.processes import end_with_parent

Array = np.ndarray[Any, np.dtype[Any]]

OFFICIAL = {"train": "train2014", "val": "val2014", "test": "test2015"}
# Minimum difference between items of different splits; the audit reports only closer ones.
NEAR_PICTURE = 8  # bits of a 64-bit perceptual hash
NEAR_SOUND = 0.95  # cosine of two fingerprints
TRIES = 100
CHUNK = 40  # items sent to a process at once
POOL_FROM = 200  # minimum number of items for several processes

Likeness = tuple[int | None, Array | None]  # perceptual hash, fingerprint


def media_path(item: Item, split: str | None = None) -> str:
    """Return the item's path below the world's root, named as in the published dataset."""
    if item.dataset == "audiocaps":
        return f"audiocaps/audio/{item.native}_{item.start}.{item.form}"
    if item.dataset == "gqa":
        return f"gqa/images/{item.native}.jpg"
    if item.dataset == "music_avqa":
        return f"music_avqa/videos/{item.native}.mp4"
    name = OFFICIAL[split or item.split]
    return f"vqav2/{name}/COCO_{name}_{int(item.native):012d}.jpg"


def _style(item: Item) -> Style:
    return draw_style(np.random.default_rng(item.style_seed))


def frames_of(item: Item) -> list[Any]:
    """Paint a video's frames: an instrument is shaken in every other frame while it sounds."""
    assert item.scene is not None
    assert item.sound is not None
    style, painted, frames = _style(item), {}, []
    for number in range(int(DURATION * FRAMES_PER_SECOND)):
        time = number / FRAMES_PER_SECOND
        heard = {e.label for e in item.sound.events if e.start <= time < e.end}
        moved = tuple(
            place for place, kind in item.scene.instruments if kind in heard and number % 2
        )
        if moved not in painted:
            painted[moved] = paint(item.scene, style, moved)
        frames.append(painted[moved])
    return frames


def wave_of(item: Item) -> Array:
    """Return the item's waveform as it is written, (32000,) float32."""
    sound = item.played or item.sound
    assert sound is not None
    rng = np.random.default_rng(item.played_seed or item.sound_seed)
    if item.silent:
        return (rng.integers(-1, 2, SAMPLES) / 32768).astype(np.float32)
    wave = synthesize(sound, rng)
    return wave * np.float32(0.7) if item.coarse else wave


def picture_hash(picture: Any) -> int:
    """Return the 64-bit perceptual hash (DCT) of a picture."""
    import imagehash

    return int(np.packbits(imagehash.phash(picture).hash.ravel()).view(">u8")[0])


def draw_item(item: Item, root: Path) -> Likeness:
    """Write the item's file below `root`, damaged if `item.damage` is set; return its features."""
    path, picture, wave = root / media_path(item), None, None
    if item.dataset == "audiocaps":
        wave = wave_of(item)
        save_audio(wave, path)
    elif item.dataset == "music_avqa":
        frames, wave = frames_of(item), wave_of(item)
        picture = frames[0]
        quality, rate = (16, 48_000) if item.coarse else (8, 96_000)
        save_video(frames, wave, path, quality=quality, bit_rate=rate)
    else:
        assert item.scene is not None
        picture = paint(item.scene, _style(item))
        save_jpeg(picture, path, 70 if item.coarse else 95)
    if item.damage:
        data = path.read_bytes()
        kept = {"empty": b"", "header": data[:24], "noise": bytes(range(256)) * (len(data) // 256)}
        path.write_bytes(kept[item.damage])
    return (
        None if picture is None else picture_hash(picture),
        None if wave is None or item.silent else describe_audio(wave, RATE).fingerprint,
    )


def _draw_many(job: tuple[list[Item], Path]) -> list[Likeness]:
    return [draw_item(item, job[1]) for item in job[0]]


class Workers:
    """Ordered map over chunks of items, in this process or in several."""

    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self.pool = pool

    def map(self, function: Any, jobs: Iterable[Any]) -> Iterator[Any]:
        return map(function, jobs) if self.pool is None else self.pool.map(function, jobs)


@contextmanager
def workers(count: int, items: int) -> Iterator[Workers]:
    """Start processes for `items` items; use the current process if there are few."""
    if count < 2 or items < POOL_FROM:
        yield Workers(None)
        return
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        try:
            yield Workers(pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def draw_all(plan: Plan, root: Path, team: Workers, progress: Any) -> None:
    """Write the media of every item below `root`, without near duplicates across splits.

    Raises:
        DataError: an item resembles one of another split in all attempts.
    """
    items = [item for group in plan.items.values() for item in group]
    for folder in sorted({(root / media_path(item)).parent for item in items}):
        folder.mkdir(parents=True, exist_ok=True)
    likeness: list[Likeness] = []
    jobs = [(items[at : at + CHUNK], root) for at in range(0, len(items), CHUNK)]
    for done in team.map(_draw_many, jobs):
        likeness += done
        progress.update(len(done))
    _keep_apart(items, likeness, root)


def _keep_apart(items: list[Item], likeness: list[Likeness], root: Path) -> None:
    """Redraw, with the same content, items that resemble an earlier item of another split."""
    split = np.array([SPLITS.index(item.split) for item in items])
    free = np.array([not item.copy_of for item in items])  # planted copies are kept
    pictures = np.array([p or 0 for p, _ in likeness], np.uint64)
    seen = np.flatnonzero([p is not None for p, _ in likeness])
    heard = np.flatnonzero([w is not None for _, w in likeness])
    sounds = np.array([w for _, w in likeness if w is not None], np.float32)
    alike = sounds @ sounds.T if len(heard) else sounds
    row = {int(index): at for at, index in enumerate(heard)}

    def rivals(index: int, among: Array) -> Array:
        return free[among] & (among < index) & (split[among] != split[index])

    for index in map(int, np.flatnonzero(free)):
        for attempt in range(TRIES):
            near = np.bitwise_count(pictures[seen] ^ pictures[index]) < NEAR_PICTURE
            look = likeness[index][0] is not None and bool((near & rivals(index, seen)).any())
            ring = index in row and bool(
                ((alike[row[index]] > NEAR_SOUND) & rivals(index, heard)).any()
            )
            if not look and not ring:
                break
            item = items[index]
            if look:
                item.style_seed = (*item.style_seed[:3], 4 + attempt)
            if ring:
                item.sound_seed = (*item.sound_seed[:3], 4 + TRIES + attempt)
            picture, sound = draw_item(item, root)
            pictures[index] = picture or 0
            if index in row:
                sounds[row[index]] = sound
                alike[row[index]] = alike[:, row[index]] = sounds @ sounds[row[index]]
        else:
            raise DataError(
                f"an item resembles one of another split in all of {TRIES} tries",
                key="world",
                hint="use fewer images, clips or videos",
            )
    sources = {(item.dataset, item.native): item for item in items}
    for item in items:
        source = sources[item.dataset, item.copy_of] if item.copy_of else item
        if (source.style_seed, source.sound_seed) != (item.style_seed, item.sound_seed):
            item.style_seed, item.sound_seed = source.style_seed, source.sound_seed
            draw_item(item, root)
