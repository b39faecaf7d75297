"""Initialise training from a saved adapter."""

from __future__ import annotations

from pathlib import Path

import torch

from safe.hearing.models.safe_model import SafeModel
from safe.hearing.training.frozen_models import OpenedBase


def warm_start(
    folder: Path, opened: OpenedBase, *, seed: int, dropout: float | None = None
) -> SafeModel:
    """Load the adapter in `folder` for further training.

    Args:
        dropout: dropout of LoRA; None keeps the adapter's value.

    Raises:
        ModelError: there is no adapter, or it was trained on another base.
    """
    saved = opened.load(folder)
    lora = saved.config.lora
    if dropout is not None:
        lora = lora.model_copy(update={"dropout": dropout})
    adapter = saved.config.model_copy(update={"lora": lora})
    model = SafeModel(opened.vlm, opened.audio_encoder, adapter, seed=seed)
    known = saved.trainable()
    with torch.no_grad():
        for name, weight in model.trainable().items():
            weight.copy_(known[name])
    return model
