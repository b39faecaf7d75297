"""Plan of the world before its media are generated: items, splits, ids, questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from safe.errors import ConfigError
from safe.hearing.miniature.world.media import AUDIO_FORMATS
from safe.hearing.miniature.world.questions import (
    GQA_WEIGHTS,
    VIDEO_WEIGHTS,
    VQA_WEIGHTS,
    Balancer,
    Question,
    audiovisual_questions,
    draw_video,
    gqa_questions,
    picture_questions,
    sound_questions,
    video_picture_questions,
)
from safe.hearing.miniature.world.scene import DIFFICULTIES, Difficulty, Scene, draw_scene
from safe.hearing.miniature.world.sound import Sound, draw_sound

SPLITS = ("train", "val", "test")
DATASETS = ("audiocaps", "vqav2", "gqa", "music_avqa")
QUESTIONS = {"vqav2": 3, "gqa": 3, "music_avqa": 7}  # per picture or video
# Without vowels and Y, so that no id contains an answer.
ID_LETTERS = "BCDFGHJKLMNPQRSTVWXZbcdfghjklmnpqrstvwxz0123456789_"


@dataclass(slots=True)
class Item:
    """One picture, sound or video with its questions.

    Attributes:
        native: id of the media in the dataset's form.
        style_seed, sound_seed: seeds of the scene's style and of the sound's synthesis.
        start: start of an AudioCaps clip in its recording, in seconds.
        form: file suffix of an AudioCaps sound.
        coarse: written with lower quality (a re-encoded copy).
        damage: kind of damage to the written file, or empty.
        silent: the written sound is only noise in the last bit.
        played, played_seed: the written sound and its seed, if they differ from the annotation.
        copy_of: id of the item that this one copies, or empty.
    """

    dataset: str
    split: str
    native: str
    difficulty: Difficulty
    scene: Scene | None = None
    sound: Sound | None = None
    style_seed: tuple[int, ...] = ()
    sound_seed: tuple[int, ...] = ()
    start: int = 0
    form: str = "wav"
    questions: list[Question] = field(default_factory=list)
    coarse: bool = False
    damage: str = ""
    silent: bool = False
    played: Sound | None = None
    played_seed: tuple[int, ...] = ()
    copy_of: str = ""


@dataclass(slots=True)
class Plan:
    """All items by dataset, and the planted faults."""

    seed: int
    items: dict[str, list[Item]]
    faults: dict[str, list[str]] = field(default_factory=dict)
    leaked: list[tuple[Item, str]] = field(default_factory=list)  # item, additional split

    def of(self, dataset: str, split: str) -> list[Item]:
        return [item for item in self.items[dataset] if item.split == split]


def split_sizes(dataset: str, count: int) -> dict[str, int]:
    """Return the split sizes: about 70/15/15, for videos 60/15/25, at least 1 each.

    The criteria about sounds use the test videos, whose number limits the precision of accuracies.

    Raises:
        ConfigError: `count` is less than three.
    """
    if count < len(SPLITS):
        raise ConfigError(
            f"{count} items cannot fill three splits",
            key="world",
            hint="use at least 3 clips, 9 images and 3 videos",
        )
    val = max(1, round(0.15 * count))
    test = max(1, round((0.25 if dataset == "music_avqa" else 0.15) * count))
    return {"train": count - val - test, "val": val, "test": test}


def make_items(seed: int, clips: int, images: int, videos: int) -> Plan:
    """Draw every item's content and id; `ask_questions` adds the questions."""
    sizes = {"audiocaps": clips, "vqav2": images, "gqa": images // 3, "music_avqa": videos}
    items: dict[str, list[Item]] = {}
    for code, dataset in enumerate(DATASETS):
        rng = np.random.default_rng([seed, code])
        natives = NATIVE_IDS[dataset](rng, sizes[dataset])
        items[dataset] = []
        for split, size in split_sizes(dataset, sizes[dataset]).items():
            for _ in range(size):
                number = len(items[dataset])
                difficulty = DIFFICULTIES[number % 3]
                item = Item(dataset, split, natives[number], difficulty)
                item.style_seed = (seed, code, number, 1)
                item.sound_seed = (seed, code, number, 2)
                if dataset == "audiocaps":
                    item.sound = draw_sound(rng, difficulty)
                    item.start = 10 * int(rng.integers(30))
                    item.form = str(rng.choice(AUDIO_FORMATS, p=(0.4, 0.3, 0.2, 0.1)))
                elif dataset == "music_avqa":
                    item.scene, item.sound = draw_video(rng, difficulty)
                else:
                    item.scene = draw_scene(rng, difficulty)
                items[dataset].append(item)
    return Plan(seed, items)


def ask_questions(plan: Plan, only: dict[str, Callable[[Question], bool]] | None = None) -> None:
    """Choose the questions of every item, balanced within each split and as a whole.

    Args:
        only: dataset -> filter of questions, ignored for items where none would remain.
    """
    weights = {"vqav2": VQA_WEIGHTS, "gqa": GQA_WEIGHTS, "music_avqa": VIDEO_WEIGHTS}
    for dataset, weight in weights.items():
        rng = np.random.default_rng([plan.seed, DATASETS.index(dataset), 3])
        balancer, wanted = Balancer(weight), (only or {}).get(dataset)
        for split in SPLITS:
            balancer.start_split()
            for item in plan.of(dataset, split):
                found = _candidates(item, rng)
                if wanted is not None:
                    found = [question for question in found if wanted(question)] or found
                seen = {kind for _, kind in item.scene.instruments} if item.scene else set()
                item.questions = balancer.pick(
                    found, QUESTIONS[dataset], rng, paired=dataset == "music_avqa", seen=seen
                )


def _candidates(item: Item, rng: np.random.Generator) -> list[Question]:
    assert item.scene is not None
    if item.dataset == "vqav2":
        return picture_questions(item.scene)
    if item.dataset == "gqa":
        return gqa_questions(item.scene, rng)
    assert item.sound is not None
    return (
        sound_questions(item.sound)
        + audiovisual_questions(item.scene, item.sound)
        + video_picture_questions(item.scene)
    )


def _numbers(rng: np.random.Generator, count: int, low: int, high: int) -> list[int]:
    return [int(n) for n in low + rng.choice(high - low, count, replace=False)]


def _youtube_ids(rng: np.random.Generator, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(ID_LETTERS[i] for i in rng.integers(len(ID_LETTERS), size=11))] = None
    return list(found)


NATIVE_IDS: dict[str, Callable[[np.random.Generator, int], Sequence[str]]] = {
    "audiocaps": _youtube_ids,
    "vqav2": lambda rng, count: [str(n) for n in _numbers(rng, count, 1, 581_930)],
    "gqa": lambda rng, count: [str(n) for n in _numbers(rng, count, 2_300_000, 2_420_000)],
    "music_avqa": lambda rng, count: [f"{n:08d}" for n in _numbers(rng, count, 1, 12_000)],
}
