"""All questions about a sound, alone or with a picture, with their answers."""

from __future__ import annotations

import itertools

import numpy as np

from safe.hearing.miniature.world.pictures import side
from safe.hearing.miniature.world.scene import INSTRUMENTS, Difficulty, Scene, draw_scene
from safe.hearing.miniature.world.sound import SOUNDS, Sound, draw_sound
from safe.hearing.miniature.world.words import NUMBERS, VIDEO, Question, Task

Odds = tuple[tuple[int, ...], tuple[float, ...]]
SEEN: dict[Difficulty, Odds] = {  # number of instruments in the picture
    "easy": ((1,), (1.0,)),
    "medium": ((1, 2), (0.2, 0.8)),
    "hard": ((2, 3), (0.3, 0.7)),
}
HEARD: dict[Difficulty, Odds] = {  # number of sounds
    "easy": ((1,), (1.0,)),
    "medium": ((1, 2), (0.2, 0.8)),
    "hard": ((2, 3), (0.25, 0.75)),
}
# Probabilities of the number of sounds from visible instruments, by its maximum. Three of three is
# more frequent, because "three" would otherwise be a rare answer.
OWN: dict[int, tuple[float, ...]] = {
    1: (0.5, 0.5),
    2: (0.15, 0.45, 0.4),
    3: (0.15, 0.2, 0.2, 0.45),
}


def _ask(task: Task, name: str, answer: str, *values: str) -> Question:
    pair, template = VIDEO[name]
    return Question(name, "-".join(pair), task, template, values, answer)


def sound_questions(sound: Sound) -> list[Question]:
    """Return questions for the sound, the number of sounds, existence, and the first or last."""
    heard = sound.labels
    found = [_ask("audio", "heard_count", NUMBERS[len(heard)])]
    found += [
        _ask("audio", "heard_exists", "yes" if label in heard else "no", label) for label in SOUNDS
    ]
    if len(heard) == 1:
        found.append(_ask("audio", "heard", heard[0]))
    elif len(heard) > 1:
        found.append(_ask("audio", "heard_order", heard[0], "first"))
        found.append(_ask("audio", "heard_order", heard[-1], "last"))
    return found


def audiovisual_questions(scene: Scene, sound: Sound) -> list[Question]:
    """Return questions that need both picture and sound."""
    seen, heard = scene.instruments, sound.labels
    sounding = [label for label in heard if label in {kind for _, kind in seen}]
    found = [
        _ask("av", "sounding", NUMBERS[len(sounding)], "sounding"),
        _ask("av", "sounding", NUMBERS[len(seen) - len(sounding)], "silent"),
    ]
    if len(seen) == 1 and len(heard) == 1:
        found.append(_ask("av", "same", "yes" if sounding else "no"))
    if len(seen) > 2 and len(heard) > 1 and sounding:  # with two, half of all guesses are correct
        found.append(_ask("av", "which_order", sounding[0], "first"))
        found.append(_ask("av", "which_order", sounding[-1], "last"))
    for where in ("left", "right"):
        there = [kind for place, kind in seen if side(place) == where]
        if len(there) != 1:
            continue
        found.append(_ask("av", "side_sounds", "yes" if there[0] in heard else "no", where))
        if len(heard) == 2 and there[0] in heard:
            (other,) = set(heard) - set(there)
            found.append(_ask("av", "with", other, where))
        for one, next_one in itertools.pairwise(heard):
            if there[0] == next_one:
                found.append(_ask("av", "next_to", one, "before", where))
            if there[0] == one:
                found.append(_ask("av", "next_to", next_one, "after", where))
    return found


def draw_video(rng: np.random.Generator, difficulty: Difficulty) -> tuple[Scene, Sound]:
    """Draw a scene with one to three different instruments, and sounds of some of them and others.

    Which instruments are visible is independent of which of them sound.
    """
    numbers, weights = SEEN[difficulty]
    seen = [INSTRUMENTS[i] for i in rng.permutation(4)[: int(rng.choice(numbers, p=weights))]]
    scene = draw_scene(rng, difficulty, seen)
    numbers, weights = HEARD[difficulty]
    count = int(rng.choice(numbers, p=weights))
    absent = [label for label in SOUNDS if label not in seen]
    # Rain and speech are never visible, so they are drawn more often.
    odds = np.array([1.0 if label in INSTRUMENTS else 2.5 for label in absent])
    most = min(len(seen), count)
    own = int(rng.choice(most + 1, p=OWN[most]))
    labels = [
        *(seen[i] for i in rng.permutation(len(seen))[:own]),
        *rng.choice(absent, count - own, replace=False, p=odds / odds.sum()).tolist(),
    ]
    order = rng.permutation(len(labels))
    return scene, draw_sound(rng, difficulty, [labels[i] for i in order])
