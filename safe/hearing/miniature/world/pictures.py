"""All questions about a scene, with their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from safe.hearing.miniature.world.scene import COLOURS, INSTRUMENTS, KINDS, Scene
from safe.hearing.miniature.world.words import GQA, NUMBERS, PICTURE, PLACES, VIDEO, Question


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def side(place: int) -> str:
    """Return the side (`left` or `right`) of a place 0..3 of the grid."""
    return "right" if place % 2 else "left"


def height(place: int) -> str:
    """Return the row (`top` or `bottom`) of a place 0..3 of the grid."""
    return "bottom" if place // 2 else "top"


def _vqa(name: str, answer: str, *values: str) -> Question:
    kind, template = PICTURE[name]
    return Question(name, kind, "vl", template, values, answer)


def picture_questions(scene: Scene) -> list[Question]:
    """Return all VQA v2-style questions: colour, object, count, existence, place."""
    cells = scene.objects
    kinds = Counter(cell.kind for _, cell in cells)
    colours = Counter(cell.colour for _, cell in cells)
    both = {(cell.colour, cell.kind) for _, cell in cells}
    found = [_vqa("count", NUMBERS[len(cells)])]
    for place, cell in cells:
        found.append(_vqa("object_at", cell.kind, PLACES[place]))
        if kinds[cell.kind] == 1:
            found.append(_vqa("color", cell.colour, cell.kind))
            found.append(_vqa("left_right", side(place), cell.kind))
            found.append(_vqa("top_bottom", height(place), cell.kind))
        if colours[cell.colour] == 1:
            found.append(_vqa("object", cell.kind, cell.colour))
    for colour in COLOURS:
        found.extend(_vqa("exists_color", _yes((colour, k) in both), colour, k) for k in KINDS)
    found.extend(_vqa("exists", _yes(kind in kinds), kind) for kind in KINDS)
    return found


def gqa_questions(scene: Scene, rng: np.random.Generator) -> list[Question]:
    """Return all GQA-style questions: query, verify and choose."""

    def gqa(name: str, answer: str, *values: str) -> Question:
        structural, semantic, _, template = GQA[name]
        return Question(name, f"{structural}-{semantic}", "vl", template, values, answer)

    def either(true: str, known: Sequence[str]) -> tuple[str, str]:
        others = [value for value in known if value != true]
        other = others[rng.integers(len(others))]
        return (true, other) if rng.random() < 0.5 else (other, true)

    cells = scene.objects
    kinds = Counter(cell.kind for _, cell in cells)
    colours = Counter(cell.colour for _, cell in cells)
    found = [gqa("exists", _yes(kind in kinds), kind) for kind in KINDS]
    for place, cell in cells:
        if colours[cell.colour] == 1:
            found.append(gqa("query_object", cell.kind, cell.colour))
            pair = either(cell.kind, KINDS)
            found.append(gqa("choose_object", cell.kind, cell.colour, *pair))
        if kinds[cell.kind] > 1:
            continue
        pair = either(cell.colour, tuple(COLOURS))
        other = pair[0] if pair[1] == cell.colour else pair[1]
        found += [
            gqa("query_color", cell.colour, cell.kind),
            gqa("choose_color", cell.colour, cell.kind, *pair),
            gqa("verify_color", "yes", cell.kind, cell.colour),
            gqa("verify_color", "no", cell.kind, other),
            gqa("choose_side", side(place), cell.kind),
            gqa("choose_height", height(place), cell.kind),
        ]
    return found


def video_picture_questions(scene: Scene) -> list[Question]:
    """Return all questions of MUSIC-AVQA's `Visual` types."""

    def ask(name: str, answer: str, *values: str) -> Question:
        pair, template = VIDEO[name]
        return Question(name, "-".join(pair), "vl", template, values, answer)

    seen = scene.instruments
    kinds = {kind for _, kind in seen}
    found = [ask("seen_count", NUMBERS[len(seen)])]
    found.extend(ask("seen_exists", _yes(kind in kinds), kind) for kind in INSTRUMENTS)
    for where in ("left", "right"):
        there = [kind for place, kind in seen if side(place) == where]
        if len(there) == 1:
            found.append(ask("seen_side", there[0], where))
    return found
