"""Image features for the manifest: a thumbnail, to compare pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

THUMB = 32  # side of the thumbnail in pixels


def thumbnail(image: Image.Image) -> bytes:
    """Return the bytes of a (32, 32, 3) uint8 copy, reduced with an antialiasing filter."""
    from PIL import Image

    small = image.resize((THUMB, THUMB), Image.Resampling.BICUBIC)
    return np.asarray(small, np.uint8).tobytes()
