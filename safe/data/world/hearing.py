"""Every question that can truly be asked about a sound, alone or with a picture."""

from __future__ import annotations

import numpy as np

from safe.data.world.pictures import side
from safe.data.world.scene import INSTRUMENTS, Difficulty, Scene, draw_scene
from safe.data.world.sound import SOUNDS, Sound, draw_sound
from safe.data.world.words import NUMBERS, VIDEO, Question, Task

Odds = tuple[tuple[int, ...], tuple[float, ...]]
SEEN: dict[Difficulty, Odds] = {  # instruments in the picture
    "easy": ((1,), (1.0,)),
    "medium": ((1, 2), (0.2, 0.8)),
    "hard": ((2, 3), (0.3, 0.7)),
}
HEARD: dict[Difficulty, Odds] = {  # sounds
    "easy": ((1,), (1.0,)),
    "medium": ((1, 2), (0.2, 0.8)),
    "hard": ((2, 3), (0.25, 0.75)),
}


def _ask(task: Task, name: str, answer: str, *values: str) -> Question:
    pair, template = VIDEO[name]
    return Question(name, "-".join(pair), task, template, values, answer)


def sound_questions(sound: Sound) -> list[Question]:
    """What is heard, how many sounds, is one of them there, which comes first or last."""
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
    """Questions that neither the picture nor the sound answers alone."""
    seen, heard = scene.instruments, sound.labels
    sounding = [(place, kind) for place, kind in seen if kind in heard]
    found = [_ask("av", "sounding", NUMBERS[len(sounding)])]
    if len(seen) == 1 and len(heard) == 1:
        found.append(_ask("av", "same", "yes" if sounding else "no"))
    for where in ("left", "right"):
        there = [kind for place, kind in seen if side(place) == where]
        if len(there) == 1:
            found.append(_ask("av", "side_sounds", "yes" if there[0] in heard else "no", where))
    if len(sounding) == 1 and len({side(place) for place, _ in seen}) == 2:
        found.append(_ask("av", "where_sounds", side(sounding[0][0])))
    place_of = {kind: place for place, kind in sounding}
    in_order = [label for label in heard if label in place_of]
    both_sides = len({side(place) for place, _ in sounding}) == 2
    for order, at in (("first", 0), ("last", -1)):
        if in_order and len(seen) > 1 and len(heard) > 1:
            found.append(_ask("av", "which_order", in_order[at], order))
        if both_sides:
            found.append(_ask("av", "where_order", side(place_of[in_order[at]]), order))
    return found


def draw_video(rng: np.random.Generator, difficulty: Difficulty) -> tuple[Scene, Sound]:
    """A scene with one to three different instruments, and sounds of which some are theirs.

    Which instruments are seen says nothing about which of them sound.
    """
    numbers, weights = SEEN[difficulty]
    seen = [INSTRUMENTS[i] for i in rng.permutation(4)[: int(rng.choice(numbers, p=weights))]]
    scene = draw_scene(rng, difficulty, seen)
    numbers, weights = HEARD[difficulty]
    count = int(rng.choice(numbers, p=weights))
    absent = [label for label in SOUNDS if label not in seen]
    # Rain and speech are only ever heard, never seen: they are put in twice as often.
    odds = np.array([1.0 if label in INSTRUMENTS else 2.0 for label in absent])
    most = min(len(seen), count)
    # Where all could sound, they do so more often: "three" would be rare otherwise.
    own = min(int(rng.integers(most + 3)), most) if most > 1 else int(rng.random() < 0.5)
    labels = [
        *(seen[i] for i in rng.permutation(len(seen))[:own]),
        *rng.choice(absent, count - own, replace=False, p=odds / odds.sum()).tolist(),
    ]
    order = rng.permutation(len(labels))
    return scene, draw_sound(rng, difficulty, [labels[i] for i in order])
