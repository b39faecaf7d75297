"""Near copies of pictures: re-encoded, scaled, cropped, mirrored, grey, or with other brightness.

Works on thumbnails. Candidates are pairs of crops and whole pictures whose brightness correlates;
mean and contrast are normalised, so brightness, contrast and colour do not matter. A candidate is
confirmed after its crop has been refined, by the correlation and by what is left of the colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safe.hearing.data.image_features import THUMB

Float = NDArray[np.float32]

SIDE = 16  # of the compared pictures in pixels
BLOCK = 2048  # pictures compared at once
CANDIDATE = 0.93  # correlation from which two pictures are compared further
# On 6,800 pictures of the miniature world and 1,797 handwritten digits, copies with a tenth cut off
# correlate by at least 0.982 (half of them 0.995) and leave 6 to 12 of 255 in the worst block;
# different pictures that leave less than 14 correlate by at most 0.973.
COPY = 0.98
LEFT_OVER = 12.0  # largest mean difference (0 to 255) of a block of a copy
HOPELESS = 35.0  # left over before the crop is refined; refining removes up to 20
FLAT = 16.0  # contrast (norm) below which a thumbnail shows nothing to compare
COLOURLESS = 2.0  # mean spread of the channels (0 to 255) of a grey picture
CLIPPED = (4.0, 251.0)  # brightness at which changes of brightness are cut off
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


class Crop(NamedTuple):
    """A part of a picture: its size, and its place from 0 (left, top) to 1 (right, bottom)."""

    width: float
    height: float
    x: float
    y: float


WHOLE = Crop(1.0, 1.0, 0.0, 0.0)
PLACES = (0.0, 0.5, 1.0)
CROPS = (WHOLE, *(Crop(s, s, x, y) for s, x, y in product((0.95, 0.9), PLACES, PLACES)))
STEPS = (  # of each field when a crop is refined
    Crop(0.03, 0.03, 0.25, 0.25),
    Crop(0.015, 0.015, 0.125, 0.125),
    Crop(0.008, 0.008, 0.06, 0.06),
)
SMALLEST = 0.85  # size of a refined crop


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two pictures that look alike: `first` cropped, and perhaps mirrored, is `second`."""

    first: int
    second: int
    swapped: bool  # `first` is of the second collection
    crop: Crop
    mirrored: bool


def as_pixels(thumbnails: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return (n, THUMB, THUMB, 3) uint8."""
    joined = np.frombuffer(b"".join(thumbnails), np.uint8)
    return joined.reshape(-1, THUMB, THUMB, 3)


@cache
def _averages(side: float, place: float) -> Float:
    """(SIDE, THUMB) weights that average the pixels of one axis of a crop."""
    edges = (1 - side) * place * THUMB + side * THUMB / SIDE * np.arange(SIDE + 1)
    pixels = np.arange(THUMB)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(covered, 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _reduce(pictures: Float, crop: Crop) -> Float:
    """(n, THUMB, THUMB, ...) -> (n, SIDE, SIDE, ...)."""
    rows, columns = _averages(crop.height, crop.y), _averages(crop.width, crop.x)
    found: Float = np.einsum("ai,bj,nij...->nab...", rows, columns, pictures, optimize=True)
    return found


def _describe(brightness: Float, crop: Crop) -> Float:
    """(n, SIDE * SIDE) unit vectors without mean; zero for pictures that show nothing."""
    flat = _reduce(brightness, crop).reshape(len(brightness), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > FLAT, flat / np.maximum(norm, FLAT), 0).astype(np.float32)


def _mirror(described: Float) -> Float:
    return described.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(described), -1)


def find_candidates(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> list[Candidate]:
    """Return pairs that look alike, each with its best crop.

    Args:
        left, right: (n, THUMB, THUMB, 3) and (m, THUMB, THUMB, 3).
    """
    bright = [(pixels @ LUMA).astype(np.float32) for pixels in (left, right)]
    whole = [_describe(pixels, WHOLE) for pixels in bright]
    best: dict[tuple[int, int], tuple[float, Candidate]] = {}
    for crop, swapped in product(CROPS, (False, True)):
        if crop is WHOLE and swapped:
            continue  # the same comparison
        for i, j, cosine, mirrored in _alike(bright[swapped], whole[not swapped], crop):
            pair = (j, i) if swapped else (i, j)
            if cosine > best.get(pair, (0.0, None))[0]:
                best[pair] = (cosine, Candidate(i, j, swapped, crop, mirrored))
    return [candidate for _, candidate in best.values()]


def _alike(brightness: Float, others: Float, crop: Crop) -> Iterator[tuple[int, int, float, bool]]:
    """Yield (index of the cropped picture, index of the whole one, correlation, mirrored)."""
    for top in range(0, len(brightness), BLOCK):
        cropped = _describe(brightness[top : top + BLOCK], crop)
        for mirrored in (False, True):
            compared = _mirror(cropped) if mirrored else cropped
            for side in range(0, len(others), BLOCK):
                cosine = compared @ others[side : side + BLOCK].T
                for i, j in np.argwhere(cosine >= CANDIDATE):
                    yield top + int(i), side + int(j), float(cosine[i, j]), mirrored


def confirm(
    left: NDArray[np.uint8], right: NDArray[np.uint8], found: Candidate, similarity: float = COPY
) -> float | None:
    """Return the correlation of two copies, or None if the pictures differ.

    Args:
        left, right: as for `find_candidates`.
        similarity: least correlation of copies.
    """
    one, other = (right, left) if found.swapped else (left, right)
    source = one[found.first].astype(np.float32)
    copy = other[found.second].astype(np.float32)
    if found.mirrored:
        copy = copy[:, ::-1]
    wanted = _reduce(copy[None], WHOLE)[0]
    if _left_over(_reduce(source[None], found.crop)[0], wanted) > HOPELESS:
        return None
    cosine, crop = _refine(source, copy, found.crop)
    if cosine < similarity or _left_over(_reduce(source[None], crop)[0], wanted) > LEFT_OVER:
        return None
    return cosine


def _refine(source: Float, copy: Float, crop: Crop) -> tuple[float, Crop]:
    """Move the crop of `source` to where it correlates best with `copy`."""
    brightness, wanted = (source @ LUMA)[None], _describe((copy @ LUMA)[None], WHOLE)[0]
    best = (float(_describe(brightness, crop)[0] @ wanted), crop)
    for steps, field, sign in product(STEPS, crop._fields * 2, (-1, 1)):
        value = getattr(best[1], field) + sign * getattr(steps, field)
        if (SMALLEST if field in ("width", "height") else 0) <= value <= 1:
            moved = best[1]._replace(**{field: value})
            best = max(best, (float(_describe(brightness, moved)[0] @ wanted), moved))
    return best


def _left_over(one: Float, other: Float) -> float:
    """Mean difference (0 to 255) of the worst block, after fitting brightness and contrast.

    The flatter picture is fitted to the other one, so that a lack of contrast does not make
    pictures equal. What was clipped there is left out.

    Args:
        one, other: (SIDE, SIDE, 3).
    """
    if min(float(np.ptp(p, axis=2).mean()) for p in (one, other)) < COLOURLESS:
        one, other = ((p @ LUMA)[..., None] for p in (one, other))
    if one.std() > other.std():
        one, other = other, one
    known = _unclipped(one)
    fitted = known & _unclipped(other)
    if fitted.mean() < 0.1:
        fitted[:] = True
    x, y = one[fitted], other[fitted]
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / max(float(x.var()), 1e-6))
    expected = np.clip(slope * (one - x.mean()) + y.mean(), 0, 255)
    known |= ~_unclipped(expected)
    difference = np.abs(expected - other) * known
    blocks = SIDE // 4
    shape = (blocks, 4, blocks, 4)
    total = difference.mean(axis=2).reshape(shape).sum(axis=(1, 3))
    counted = known.mean(axis=2).reshape(shape).sum(axis=(1, 3))
    return float((total / np.maximum(counted, 1)).max())


def _unclipped(pixels: Float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (pixels > CLIPPED[0]) & (pixels < CLIPPED[1])
    return inside
