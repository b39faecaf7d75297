"""Drawings of the shapes and instruments; their silhouettes are recognisable at 13 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, np.dtype[Any]]

TILE = 28  # side of an object's tile at scale 1, in pixels
FINE = 4  # supersampling factor


@cache
def sized_tile(kind: str, side: int) -> tuple[Array, Array, Array]:
    """Return the three layers of `_tile`, each (side, side, 1) float32 in 0..1."""
    tile = _tile(kind).resize((side, side), Image.Resampling.BOX)
    own, grey, mask = np.split(np.asarray(tile, np.float32) / 255, 3, axis=2)
    return own, grey, mask


@cache
def _tile(kind: str) -> Image.Image:
    """Draw (112, 112) RGB: share of the object's own colour, share of white, coverage."""
    side = TILE * FINE
    own, grey, mask = (Image.new("L", (side, side), 0) for _ in range(3))
    pens = [ImageDraw.Draw(layer) for layer in (own, grey, mask)]

    def ink(method: str, points: Sequence[float], colour: int, light: int) -> None:
        """Draw in unit coordinates; `colour` and `light` are 0..255."""
        scaled = [p * side for p in points]
        for pen, value in zip(pens, (colour, light, 255), strict=True):
            getattr(pen, method)(scaled, fill=value)

    def disc(x: float, y: float, rx: float, ry: float, colour: int = 255, light: int = 0) -> None:
        ink("ellipse", (x - rx, y - ry, x + rx, y + ry), colour, light)

    if kind == "circle":
        disc(0.5, 0.5, 0.43, 0.43)
    elif kind == "square":
        ink("rectangle", (0.1, 0.1, 0.9, 0.9), 255, 0)
    elif kind == "triangle":
        ink("polygon", (0.5, 0.06, 0.97, 0.92, 0.03, 0.92), 255, 0)
    elif kind == "cross":
        ink("rectangle", (0.36, 0.04, 0.64, 0.96), 255, 0)
        ink("rectangle", (0.04, 0.36, 0.96, 0.64), 255, 0)
    elif kind == "bell":
        disc(0.5, 0.9, 0.1, 0.1, 0, 225)
        disc(0.5, 0.34, 0.27, 0.3)
        ink("polygon", (0.23, 0.34, 0.77, 0.34, 0.84, 0.68, 0.16, 0.68), 255, 0)
        ink("rectangle", (0.04, 0.67, 0.96, 0.82), 255, 0)
        disc(0.5, 0.06, 0.08, 0.06)
    elif kind == "guitar":
        ink("polygon", (0.42, 0.52, 0.88, 0.02, 0.99, 0.13, 0.52, 0.62), 0, 160)
        disc(0.56, 0.5, 0.2, 0.2)
        disc(0.31, 0.7, 0.29, 0.28)
        disc(0.36, 0.65, 0.12, 0.12, 0, 0)
    elif kind == "drum":
        ink("rectangle", (0.06, 0.3, 0.94, 0.78), 255, 0)
        disc(0.5, 0.78, 0.44, 0.17)
        for x in (0.16, 0.44, 0.72):
            ink("polygon", (x, 0.36, x + 0.12, 0.36, x + 0.12, 0.92, x, 0.92), 0, 0)
        disc(0.5, 0.27, 0.46, 0.19, 0, 235)
        disc(0.5, 0.27, 0.3, 0.1, 0, 150)
    elif kind == "siren":
        for x0, y0, x1, y1 in ((0.08, 0.3, 0.02, 0.18), (0.92, 0.3, 0.98, 0.18)):
            ink("polygon", (x0, y0, x1, y1, x1 + (0.5 - x1) * 0.28, y1 - 0.02), 0, 255)
        ink("polygon", (0.45, 0.0, 0.55, 0.0, 0.53, 0.2, 0.47, 0.2), 0, 255)
        disc(0.5, 0.52, 0.27, 0.3)
        ink("rectangle", (0.23, 0.5, 0.77, 0.72), 255, 0)
        ink("rectangle", (0.06, 0.72, 0.94, 0.95), 0, 120)
    else:
        raise ValueError(f"there is no drawing of {kind!r}")
    return Image.merge("RGB", (own, grey, mask))
