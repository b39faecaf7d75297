"""What a sound is, in words: a word for each stretch of time, in order.

Read between picture and question, where SAFE's audio tokens come to stand, before any question is
asked: a language model that has learned from text knows what "first" and "last" are, and what
follows from what it is told. Some questions are asked beside such words, with true answers; those
about a sound that is not told are answered at random, so that the base cannot have heard.
"""

from __future__ import annotations

import itertools

import numpy as np

from safe.hearing.miniature.world.pictures import side
from safe.hearing.miniature.world.scene import Scene
from safe.hearing.miniature.world.sound import SOUNDS, Sound
from safe.hearing.miniature.world.words import NUMBERS

LONGEST = 12  # words: the most audio tokens that the experiments try
WHAT = "What is heard?"
LABELS = 3  # that are said to be heard or not, in one description


def tell(sound: Sound, rng: np.random.Generator) -> str:
    """Each label at least once, repeated to a random length, in the order in which they begin."""
    labels = sound.labels
    extra = int(rng.integers(LONGEST - len(labels) + 1))
    counts = 1 + rng.multinomial(extra, rng.dirichlet(np.ones(len(labels))))
    return " ".join(word for label, n in zip(labels, counts, strict=True) for word in [label] * n)


def conclude(scene: Scene, sound: Sound, rng: np.random.Generator) -> str:
    """What follows from a sound, and from it and the picture; facts in random order.

    As in a description of a picture, nearly every word must be read off, where a question has one.
    """
    seen, heard = scene.instruments, sound.labels
    sounding = [label for label in heard if label in {kind for _, kind in seen}]
    facts = [
        f"first {heard[0]}",
        f"last {heard[-1]}",
        f"sounds {NUMBERS[len(heard)]}",
        f"sounding {NUMBERS[len(sounding)]}",
        f"silent {NUMBERS[len(seen) - len(sounding)]}",
    ]
    facts += [
        f"{SOUNDS[i]} {'yes' if SOUNDS[i] in heard else 'no'}"
        for i in rng.permutation(len(SOUNDS))[:LABELS]
    ]
    facts += [f"before {b} {a}" for a, b in itertools.pairwise(heard)]
    facts += [f"after {a} {b}" for a, b in itertools.pairwise(heard)]
    for where in ("left", "right"):
        there = [kind for place, kind in seen if side(place) == where]
        if len(there) == 1:
            facts.append(f"{where} {there[0]} {'yes' if there[0] in heard else 'no'}")
    return " ".join(facts[i] for i in rng.permutation(len(facts)))
