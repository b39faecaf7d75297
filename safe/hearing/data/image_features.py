"""Image features for the manifest: a perceptual hash, and a thumbnail for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

THUMB = 16  # side of the thumbnail in pixels
BLOCK = 4  # side of the blocks for comparing thumbnails, in pixels


def perceptual_hash(image: Image.Image) -> int:
    """Return the 64 bits of imagehash's pHash (signs of the lowest DCT coefficients)."""
    import imagehash

    bits = imagehash.phash(image).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(image: Image.Image) -> bytes:
    """Return the bytes of a (16, 16, 3) uint8 copy, reduced with an antialiasing filter."""
    from PIL import Image

    small = image.resize((THUMB, THUMB), Image.Resampling.BICUBIC)
    return np.asarray(small, np.uint8).tobytes()


def thumbnail_distance(first: bytes, second: bytes) -> float:
    """Return the largest mean difference (0..255) of two thumbnails over 4 x 4 blocks.

    Re-encoding spreads its error over the picture, but a different object changes one place. The
    worst block therefore separates copies from similar pictures better than the mean.
    """
    a, b = (_pixels(data) for data in (first, second))
    blocks = THUMB // BLOCK
    difference = np.abs(a - b).mean(axis=2).reshape(blocks, BLOCK, blocks, BLOCK)
    return float(difference.mean(axis=(1, 3)).max())


def _pixels(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, np.uint8).reshape(THUMB, THUMB, 3).astype(np.float32)
