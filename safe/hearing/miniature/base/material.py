"""Pretraining data of a miniature: a protocol that the world and the digits implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import ClapFeatureExtractor

from safe.hearing.data.sample import Sample
from safe.hearing.miniature.base.audio_encoder import Hearing
from safe.hearing.miniature.base.language import Asked
from safe.hearing.miniature.base.vision import Augment

CHUNK = 256


class Seen(Protocol):
    """Pictures, the content of their cells, and questions about them."""

    @property
    def images(self) -> Sequence[Image.Image]: ...
    @property
    def cells(self) -> Tensor: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def asked(self) -> list[Asked]: ...
    @property
    def described(self) -> list[Asked]:
        """Descriptions to train on before the questions; may be empty."""


class Material(Protocol):
    """Pretraining data, deterministic for a seed, without the run's val and test media."""

    name: str
    augment: Augment | None

    def digest(self) -> str:
        """Return the digest of the material's settings and files, without code."""

    def vlm_texts(self) -> list[str]:
        """Return texts with every word that the language model must know."""

    def audio_encoder_texts(self) -> list[str]:
        """Return texts with every word that the audio encoder's text tower must know."""

    def seen(self) -> Seen: ...

    def heard(self, extractor: ClapFeatureExtractor) -> Hearing: ...

    def zero_shot(self, samples: Sequence[Sample]) -> tuple[list[str], list[tuple[Sample, int]]]:
        """Return class prompts, and the samples of these classes with their class index."""


def pixels_of(images: Sequence[Image.Image], image_processor) -> Tensor:  # type: ignore[no-untyped-def]
    """Return (N, 3, H, W) float32 pixel values of the image processor."""
    parts = [
        image_processor(list(images[at : at + CHUNK]), return_tensors="pt")["pixel_values"]
        for at in range(0, len(images), CHUNK)
    ]
    return torch.cat(parts).float()


def stack_waves(waves: Sequence[np.ndarray], samples: int) -> Tensor:
    """Return (N, samples) float32, truncated at the end or padded with silence."""
    stacked = torch.zeros(len(waves), samples)
    for row, wave in zip(stacked, waves, strict=True):
        kept = torch.from_numpy(np.asarray(wave[:samples], dtype=np.float32))
        row[: len(kept)] = kept
    return stacked
