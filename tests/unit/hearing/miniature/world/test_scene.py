"""Pictures: rendering agrees with the scene, and frames at rest do not reveal what sounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safe.hearing.miniature.world.scene import (
    COLOURS,
    DIFFICULTIES,
    INSTRUMENTS,
    KINDS,
    OBJECTS,
    Cell,
    Scene,
    draw_scene,
    draw_style,
    paint,
    render,
)


@given(st.integers(0, 2**32), st.sampled_from(DIFFICULTIES))
def test_scene_has_the_number_of_objects_of_its_difficulty(seed, difficulty) -> None:
    scene = draw_scene(np.random.default_rng(seed), difficulty)
    assert len(scene.objects) in OBJECTS[difficulty][0]
    assert all(cell.kind in KINDS and cell.colour in COLOURS for _, cell in scene.objects)


@given(st.integers(0, 2**32), st.permutations(INSTRUMENTS), st.integers(1, 3))
def test_requested_instruments_occur_once_and_on_both_sides(seed, kinds, count) -> None:
    requested = kinds[:count]
    scene = draw_scene(np.random.default_rng(seed), "medium", requested)
    assert sorted(kind for _, kind in scene.instruments) == sorted(requested)
    if count > 1:
        places = {kind: place for place, kind in scene.instruments}
        assert places[requested[0]] % 2 != places[requested[1]] % 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_object_is_drawn_in_its_colour_and_only_in_its_cell(kind: str, colour: str) -> None:
    style = draw_style(np.random.default_rng(5))
    empty = np.asarray(paint(Scene((None, None, None, None)), style), float)
    for place in range(4):
        cells: list[Cell | None] = [None] * 4
        cells[place] = Cell(kind, colour)
        image = np.asarray(paint(Scene(tuple(cells)), style), float)
        changed = np.abs(image - empty).max(axis=2) > 0
        row, column = divmod(place, 2)
        inside = changed[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert changed.sum() == inside.sum() > 80
        expected = np.array(COLOURS[colour]) * style.brightness[place]
        close = np.abs(image - expected).max(axis=2) < 3
        assert (close & changed).sum() > 40


def test_kinds_are_distinguishable_at_32_pixels_under_jitter() -> None:
    rng = np.random.default_rng(0)

    def small(kind: str) -> np.ndarray:
        image = render(Scene((Cell(kind, "red"), None, None, None)), rng).resize((32, 32))
        return np.asarray(image, float)[:16, :16, 0].ravel()

    known = [(kind, small(kind)) for kind in KINDS for _ in range(60)]
    correct = []
    for kind in KINDS:
        for _ in range(15):
            new = small(kind)
            nearest = min(known, key=lambda one: float(np.abs(one[1] - new).sum()))
            correct.append(nearest[0] == kind)
    assert np.mean(correct) > 0.95  # the nearest known picture distinguishes eight kinds


def test_shaken_offsets_have_the_distribution_of_resting_ones() -> None:
    from safe.hearing.miniature.world.scene import JITTER, _shaken

    offsets = range(-JITTER, JITTER + 1)
    assert sorted(map(_shaken, offsets)) == list(offsets)
    assert all(abs(_shaken(offset) - offset) >= 2 for offset in offsets)


def test_only_moved_places_change() -> None:
    style = draw_style(np.random.default_rng(1))
    scene = Scene((Cell("bell", "red"), Cell("drum", "blue"), None, Cell("circle", "green")))
    rest, moved = (np.asarray(paint(scene, style, at), int) for at in ((), (1,)))
    changed = np.abs(rest - moved).max(axis=2) > 0
    assert changed[:32, 32:].sum() == changed.sum() > 50


def test_unknown_kind_is_refused() -> None:
    scene = Scene((Cell("piano", "red"), None, None, None))
    with pytest.raises(ValueError, match="piano"):
        render(scene, np.random.default_rng(0))
