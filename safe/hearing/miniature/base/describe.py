"""Descriptions of a picture: the language model reads before it is asked, as in BLIP-2's stage 2.

A question has one answer word, and from those alone a small language model stays near the prior
for minutes. In a description nearly every word must be read off the picture: given one attribute
of an object, here in any order, the others follow, and that is the look-up which the questions ask
for later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from safe.hearing.miniature.base.language import Asked
from safe.hearing.miniature.world.scene import COLOURS, KINDS, Scene
from safe.hearing.miniature.world.words import NUMBERS, PLACES

WHAT = "What is there?"
HOW_MANY = "How many are there?"
WHAT_COPIES, COUNT_COPIES = 4, 2  # descriptions of each picture, all different
PRESENT, ABSENT = 4, 2  # words counted in one description


def list_objects(scene: Scene, rng: np.random.Generator) -> str:
    """Each object's kind, colour and place; objects and attributes in random order."""
    objects = scene.objects
    parts = []
    for index in rng.permutation(len(objects)):
        place, cell = objects[index]
        attributes = (cell.kind, cell.colour, PLACES[place])
        parts += [attributes[i] for i in rng.permutation(3)]
    return " ".join(parts)


def count_words(scene: Scene, rng: np.random.Generator) -> str:
    """How many objects each of some kinds and colours has, those that are not there included."""
    number = Counter(word for _, cell in scene.objects for word in (cell.kind, cell.colour))
    present = list(number)
    absent = [word for word in (*KINDS, *COLOURS) if word not in number]
    chosen = [present[i] for i in rng.permutation(len(present))[:PRESENT]]
    chosen += [absent[i] for i in rng.permutation(len(absent))[:ABSENT]]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))]
    return " ".join(f"{word} {NUMBERS[number[word]]}" for word in chosen)


def describe(scenes: Sequence[Scene], first: int, rng: np.random.Generator) -> list[Asked]:
    """Descriptions of `scenes`, the pictures number `first`, `first` + 1, and so on."""
    described = []
    for picture, scene in enumerate(scenes, start=first):
        texts = [(WHAT, list_objects(scene, rng)) for _ in range(WHAT_COPIES) if scene.objects]
        texts += [(HOW_MANY, count_words(scene, rng)) for _ in range(COUNT_COPIES)]
        described += [Asked(picture, ask, text, "description", "vl") for ask, text in texts]
    return described
