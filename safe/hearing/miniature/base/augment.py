"""Augmentation of image batches with an explicit generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def jitter_images(
    images: Tensor,
    generator: torch.Generator,
    *,
    shift: float = 0.1,
    rotate: float = 15.0,
    scale: float = 0.15,
    shear: float = 0.2,
) -> Tensor:
    """Apply a random affine transformation to each image.

    Args:
        images: (B, C, H, W).
        shift: maximum shift, as a fraction of the side.
        rotate: maximum rotation in degrees.
        scale, shear: maximum relative change of size, and maximum shear.

    Returns:
        (B, C, H, W); pixels from outside repeat the border.
    """

    def draw(limit: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * limit

    angle, slant = draw(math.radians(rotate)), draw(shear)
    wide, tall = 1 + draw(scale), 1 + draw(scale)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([cos * wide, (slant * cos - sin) * tall, draw(2 * shift)], 1),
        torch.stack([sin * wide, (slant * sin + cos) * tall, draw(2 * shift)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
