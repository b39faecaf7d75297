"""Pictures of the miniature world: coloured shapes and instruments on a 2×2 grid.

A `Scene` is the content; a `Style` is its random appearance (background, texture, jitter). A still
picture contains no information on whether an instrument sounds: in a video a sounding instrument is
shaken between frames, within the range of the jitter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from PIL import Image

from safe.hearing.miniature.world.drawings import TILE, sized_tile

Difficulty = Literal["easy", "medium", "hard"]
Array = np.ndarray[Any, np.dtype[Any]]

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (232, 40, 40),
    "green": (40, 205, 70),
    "blue": (55, 95, 255),
    "yellow": (250, 220, 30),
    "purple": (200, 60, 235),
    "white": (245, 245, 245),
}
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross")
INSTRUMENTS: tuple[str, ...] = ("bell", "guitar", "drum", "siren")
KINDS: tuple[str, ...] = SHAPES + INSTRUMENTS

SIZE = 64  # side in pixels
CELL = SIZE // 2
JITTER = 2  # maximum offset of an object from the centre of its cell, in pixels
OBJECTS: dict[Difficulty, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "easy": ((1, 2), (0.5, 0.5)),
    "medium": ((2, 3), (0.5, 0.5)),
    "hard": ((3, 4), (0.35, 0.65)),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One object: a kind of `KINDS` in a colour of `COLOURS`."""

    kind: str
    colour: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Four cells in reading order: upper left, upper right, lower left, lower right."""

    cells: tuple[Cell | None, Cell | None, Cell | None, Cell | None]

    @property
    def objects(self) -> list[tuple[int, Cell]]:
        """Place (0..3) and content of the cells that are not empty."""
        return [(place, cell) for place, cell in enumerate(self.cells) if cell is not None]

    @property
    def instruments(self) -> list[tuple[int, str]]:
        """Place and kind of every instrument."""
        return [(place, cell.kind) for place, cell in self.objects if cell.kind in INSTRUMENTS]


@dataclass(frozen=True, slots=True)
class Style:
    """Appearance of a scene. `background` is (64, 64, 3) float32, 0..255; the rest is per cell."""

    background: Array
    offsets: tuple[tuple[int, int], ...]
    scales: tuple[float, ...]
    brightness: tuple[float, ...]


def draw_scene(
    rng: np.random.Generator,
    difficulty: Difficulty,
    instruments: Sequence[str] = (),
) -> Scene:
    """Draw a random scene; higher difficulties have more objects.

    Args:
        instruments: kinds to include, one of each, the first two on different sides; the other
            objects are then shapes.
    """
    numbers, weights = OBJECTS[difficulty]
    count = max(int(rng.choice(numbers, p=weights)), len(instruments))
    places = rng.permutation(4)
    if len(instruments) > 1 and places[0] % 2 == places[1] % 2:  # move to different sides
        places[1], places[2] = places[2], places[1]
    colours = tuple(COLOURS)
    cells: list[Cell | None] = [None] * 4
    placed: list[Cell] = []
    for index, place in enumerate(places[:count]):
        if index < len(instruments):
            kind = instruments[index]
        elif instruments:
            kind = SHAPES[rng.integers(len(SHAPES))]
        elif placed and rng.random() < 0.3:
            kind = placed[rng.integers(len(placed))].kind
        else:
            kind = KINDS[rng.integers(len(KINDS))]
        if placed and rng.random() < 0.35:
            colour = placed[rng.integers(len(placed))].colour
        else:
            colour = colours[rng.integers(len(colours))]
        placed.append(Cell(kind, colour))
        cells[place] = placed[-1]
    return Scene((cells[0], cells[1], cells[2], cells[3]))


@cache
def _grid() -> tuple[Array, Array]:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / (SIZE - 1) - np.float32(0.5)
    return x, y


def draw_style(rng: np.random.Generator) -> Style:
    """Draw background, texture and jitter."""
    x, y = _grid()
    angle = rng.uniform(0, 2 * math.pi)
    light = rng.uniform(40, 62) + rng.uniform(10, 34) * (x * math.cos(angle) + y * math.sin(angle))
    for _ in range(4):  # waves
        fx, fy = rng.uniform(-22, 22), rng.uniform(-22, 22)
        light += rng.uniform(4, 9) * np.cos(fx * x + fy * y + rng.uniform(0, 2 * math.pi))
    for _ in range(int(rng.integers(1, 4))):  # distractor lines
        turn, where, width = (
            rng.uniform(0, math.pi),
            rng.uniform(-0.5, 0.5),
            rng.uniform(0.01, 0.03),
        )
        away = np.abs(x * math.cos(turn) + y * math.sin(turn) - where)
        light += (40 * int(rng.integers(2)) - 20) * np.clip(1.5 - away / width, 0, 1)
    background = 2 * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    background += light[..., None]
    background += rng.uniform(-9, 9, 3).astype(np.float32)
    return Style(
        background=np.clip(background, 0, 118),
        offsets=tuple((int(a), int(b)) for a, b in rng.integers(-JITTER, JITTER + 1, (4, 2))),
        scales=tuple(float(s) for s in rng.uniform(0.82, 1.0, 4)),
        brightness=tuple(float(b) for b in rng.uniform(0.8, 1.0, 4)),
    )


def paint(scene: Scene, style: Style, moved: Sequence[int] = ()) -> Image.Image:
    """Paint `scene` in `style`, (64, 64) RGB.

    Args:
        moved: places of the instruments that are shaken.
    """
    canvas = style.background.copy()
    for place, cell in scene.objects:
        side = round(TILE * style.scales[place])
        own, grey, mask = sized_tile(cell.kind, side)
        colour = np.array(COLOURS[cell.colour], np.float32) * style.brightness[place]
        dx, dy = style.offsets[place]
        if place in moved:
            dx, dy = _shaken(dx), _shaken(dy)
        row, column = divmod(place, 2)
        left = column * CELL + (CELL - side) // 2 + dx
        top = row * CELL + (CELL - side) // 2 + dy
        under = canvas[top : top + side, left : left + side]
        # `own` and `grey` are already multiplied by `mask`, because they were downsampled with it.
        canvas[top : top + side, left : left + side] = (
            under * (1 - mask) + own * colour + grey * 255
        )
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8), "RGB")


def render(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Paint `scene` in a random style, (64, 64) RGB."""
    return paint(scene, draw_style(rng))


def _shaken(offset: int) -> int:
    """Map -JITTER..JITTER bijectively without fixed point, so uniform jitter stays uniform."""
    return (offset + JITTER + 2) % (2 * JITTER + 1) - JITTER
