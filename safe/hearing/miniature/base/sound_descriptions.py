"""Descriptions of sounds in words: one word per segment of time, in order.

The words are placed between picture and question, where SAFE's audio tokens will be. They teach the
language model concepts such as "first" and "last". Questions with such a description have true
answers. Questions about an undescribed sound have random answers, so that the base does not learn
to answer them without audio.
"""

from __future__ import annotations

import itertools

import numpy as np

from safe.hearing.miniature.world.pictures import side
from safe.hearing.miniature.world.scene import Scene
from safe.hearing.miniature.world.sound import SOUNDS, Sound
from safe.hearing.miniature.world.words import NUMBERS

LONGEST = 12  # words; the maximum number of audio tokens in the experiments
WHAT = "What is heard?"
LABELS = 3  # labels per description with a "yes" or "no" for being heard


def tell(sound: Sound, rng: np.random.Generator) -> str:
    """Return each label at least once, repeated to a random length, in order of onset."""
    labels = sound.labels
    extra = int(rng.integers(LONGEST - len(labels) + 1))
    counts = 1 + rng.multinomial(extra, rng.dirichlet(np.ones(len(labels))))
    return " ".join(word for label, n in zip(labels, counts, strict=True) for word in [label] * n)


def conclude(scene: Scene, sound: Sound, rng: np.random.Generator) -> str:
    """Return facts about a sound, and about sound and picture, in random order.

    As in a description of a picture, nearly every word depends on the input.
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
