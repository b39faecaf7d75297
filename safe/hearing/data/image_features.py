"""What the manifest records of a picture: a perceptual hash, and a small copy to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

THUMB = 16  # pixels a side of the small copy
BLOCK = 4  # pixels a side of the blocks two copies are compared by


def perceptual_hash(image: Image.Image) -> int:
    """The 64 bits of imagehash's pHash (signs of the lowest DCT coefficients)."""
    import imagehash

    bits = imagehash.phash(image).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(image: Image.Image) -> bytes:
    """A (16, 16, 3) uint8 copy, reduced with an antialiasing filter."""
    from PIL import Image

    small = image.resize((THUMB, THUMB), Image.Resampling.BICUBIC)
    return np.asarray(small, np.uint8).tobytes()


def thumbnail_distance(first: bytes, second: bytes) -> float:
    """The largest mean difference (0..255) of two small copies over 4 x 4 blocks.

    Re-encoding spreads its error over the picture; another object stands in one place. So the
    worst block tells a copy from a look-alike where the mean cannot.
    """
    a, b = (_pixels(data) for data in (first, second))
    blocks = THUMB // BLOCK
    difference = np.abs(a - b).mean(axis=2).reshape(blocks, BLOCK, blocks, BLOCK)
    return float(difference.mean(axis=(1, 3)).max())


def _pixels(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, np.uint8).reshape(THUMB, THUMB, 3).astype(np.float32)
