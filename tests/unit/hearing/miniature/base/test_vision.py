"""Patches, attribute heads and image jitter of the vision tower."""

import torch

from safe.hearing.miniature.base.augment import jitter_images
from safe.hearing.miniature.base.vision import attribute_heads, attribute_loss, patch_cells


def test_patches_map_to_the_cell_that_contains_them():
    assert patch_cells(16, 4).view(4, 4).tolist() == [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 3, 3],
        [2, 2, 3, 3],
    ]
    assert patch_cells(16, 1).tolist() == [0] * 16


def test_unknown_cells_are_ignored_in_the_loss():
    heads = attribute_heads(4, (3, 2), 0)
    hidden, labels = torch.randn(2, 2, 4), torch.tensor([[[0, 1], [2, 0]], [[1, 1], [0, 0]]])
    blanked = labels.clone()
    blanked[1] = -100
    torch.testing.assert_close(
        attribute_loss(heads, hidden, blanked), attribute_loss(heads, hidden[:1], labels[:1])
    )


def test_jitter_moves_images_and_without_limits_changes_nothing():
    images = torch.rand(3, 3, 16, 16)

    def moved(**limits: float) -> torch.Tensor:
        return jitter_images(images, torch.Generator().manual_seed(0), **limits)

    still = moved(shift=0, rotate=0, scale=0, shear=0)
    torch.testing.assert_close(still, images, atol=1e-5, rtol=1e-5)
    assert moved().shape == images.shape
    assert not torch.equal(moved(), images)
    assert torch.equal(moved(), moved())
