"""Descriptions of pictures, for captioning before question answering, as in BLIP-2's stage 2.

The answer of a question is one word. With questions only, a small language model stays near the
prior for minutes of training. In a description nearly every word depends on the picture: one
attribute of an object determines the others, in any order. The questions need the same look-up.
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
WHAT_COPIES, COUNT_COPIES = 4, 2  # descriptions per picture, each drawn separately
PRESENT, ABSENT = 4, 2  # words counted in one description, at most


def list_objects(scene: Scene, rng: np.random.Generator) -> str:
    """List each object's kind, colour and place; objects and attributes in random order."""
    objects = scene.objects
    parts = []
    for index in rng.permutation(len(objects)):
        place, cell = objects[index]
        attributes = (cell.kind, cell.colour, PLACES[place])
        parts += [attributes[i] for i in rng.permutation(3)]
    return " ".join(parts)


def count_words(scene: Scene, rng: np.random.Generator) -> str:
    """Count the objects of some kinds and colours, including absent ones."""
    number = Counter(word for _, cell in scene.objects for word in (cell.kind, cell.colour))
    present = list(number)
    absent = [word for word in (*KINDS, *COLOURS) if word not in number]
    chosen = [present[i] for i in rng.permutation(len(present))[:PRESENT]]
    chosen += [absent[i] for i in rng.permutation(len(absent))[:ABSENT]]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))]
    return " ".join(f"{word} {NUMBERS[number[word]]}" for word in chosen)


def describe(scenes: Sequence[Scene], first: int, rng: np.random.Generator) -> list[Asked]:
    """Describe `scenes`, whose picture indices are `first`, `first` + 1, and so on."""
    described = []
    for picture, scene in enumerate(scenes, start=first):
        texts = [(WHAT, list_objects(scene, rng)) for _ in range(WHAT_COPIES) if scene.objects]
        texts += [(HOW_MANY, count_words(scene, rng)) for _ in range(COUNT_COPIES)]
        described += [Asked(picture, ask, text, "description", "vl") for ask, text in texts]
    return described
