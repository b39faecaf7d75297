"""Stage 1: the vision tower, trained on dense labels for each patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2VisionModel

from safe.hearing.miniature.base.loop import Schedule, fit

IGNORE = -100
Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Pictures:
    """Pictures with the content of each cell of a square grid.

    Attributes:
        pixels: (N, 3, H, W) pixel values of the processor.
        cells: (N, cells, attributes) classes; -100 where unknown.
        sizes: number of classes of each attribute.
    """

    pixels: Tensor
    cells: Tensor
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.pixels)


def patch_cells(patches: int, cells: int) -> Tensor:
    """Return (patches,) the cell of each patch; both grids are square and in row-major order."""
    side, grid = round(patches**0.5), round(cells**0.5)
    along = torch.arange(side) * grid // side
    return (along[:, None] * grid + along[None, :]).flatten()


def attribute_heads(width: int, sizes: Sequence[int], seed: int) -> nn.ModuleList:
    """Build one linear head per attribute; they are discarded after the stage."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList(nn.Linear(width, size) for size in sizes)


def attribute_loss(heads: nn.ModuleList, hidden: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over attributes. hidden: (B, P, D), labels: (B, P, attributes)."""
    losses = [
        F.cross_entropy(head(hidden).flatten(0, 1), labels[..., i].flatten(), ignore_index=IGNORE)
        for i, head in enumerate(heads)
    ]
    return torch.stack(losses).sum()


def train_vision(
    model: Blip2VisionModel,
    pictures: Pictures,
    schedule: Schedule,
    *,
    seed: int,
    augment: Augment | None = None,
    position: int = 0,
) -> float:
    """Train the tower in place; return the final loss."""
    generator = torch.Generator().manual_seed(seed)
    heads = attribute_heads(model.config.hidden_size, pictures.sizes, seed)
    cell_of = patch_cells(model.embeddings.num_patches, pictures.cells.shape[1])

    def loss_of(index: Tensor) -> Tensor:
        pixels = pictures.pixels[index]
        if augment is not None:
            pixels = augment(pixels, generator)
        hidden = model(pixel_values=pixels).last_hidden_state[:, 1:]
        return attribute_loss(heads, hidden, pictures.cells[index][:, cell_of])

    model.train()
    loss = fit(
        [*model.parameters(), *heads.parameters()],
        loss_of,
        len(pictures),
        schedule,
        generator=generator,
        title="vision",
        position=position,
    )
    model.eval()
    return loss


@torch.inference_mode()
def vision_features(model: Blip2VisionModel, pixels: Tensor, batch_size: int = 256) -> Tensor:
    """Return (N, 1 + patches, width), the input of the Q-Former."""
    parts = [model(pixel_values=p).last_hidden_state for p in pixels.split(batch_size)]
    return torch.cat(parts).clone()
