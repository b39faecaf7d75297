"""The two training chains: vision, Q-Former and language; and the audio encoder.

Each can run in its own process, which scales far better than a second thread for small models.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from safe.files import write_json
from safe.hearing.miniature.base.architecture import build_audio_encoder, build_vlm
from safe.hearing.miniature.base.audio_encoder import train_audio_encoder
from safe.hearing.miniature.base.language import Asked, tokenize, train_language
from safe.hearing.miniature.base.loop import Schedule
from safe.hearing.miniature.base.material import Material, pixels_of
from safe.hearing.miniature.base.qformer import query_outputs, train_qformer
from safe.hearing.miniature.base.recipe import Recipe
from safe.hearing.miniature.base.stages import Stages
from safe.hearing.miniature.base.tokenizer import build_tokenizer
from safe.hearing.miniature.base.vision import Pictures, train_vision, vision_features

DONE = "stages.json"  # written last; marks a model's folder as complete


def finished(folder: Path) -> dict[str, Any] | None:
    """Return the content of stages.json of a finished model's folder, or None."""
    try:
        value = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _publish(model: Any, processor: Any, stages: Stages, folder: Path) -> None:
    """Save as a Hugging Face folder; it gets its final name only when it is complete."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    processor.save_pretrained(partial)
    write_json(partial / DONE, stages.seconds)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def train_vlm(material: Material, recipe: Recipe, seed: int, folder: Path, position: int) -> None:
    """Train the miniature BLIP-2 into `folder/vlm`, stage by stage."""
    if finished(folder / "vlm") is not None:
        return
    tokenizer = build_tokenizer(material.vlm_texts())
    model, processor = build_vlm(recipe.vlm, tokenizer, seed)
    stages, seen = Stages(folder / "stages-vlm", model), material.seen()
    pixels = pixels_of(seen.images, processor.image_processor)
    pictures = Pictures(pixels, seen.cells, seen.sizes)

    def vision() -> float:
        return train_vision(
            model.vision_model,
            pictures,
            recipe.vision,
            seed=seed + 1,
            augment=material.augment,
            position=position,
        )

    stages.run("vision", vision)
    copies = [pixels]
    if material.augment is not None:
        generator = torch.Generator().manual_seed(seed + 2)
        copies += [material.augment(pixels, generator) for _ in range(recipe.copies - 1)]
    features = torch.stack([vision_features(model.vision_model, copy) for copy in copies])

    def qformer() -> float:
        return train_qformer(
            model,
            features.flatten(0, 1),
            seen.cells.repeat(len(copies), 1, 1),
            seen.sizes,
            recipe.qformer,
            seed=seed + 3,
            position=position,
        )

    stages.run("q-former", qformer)
    outputs = query_outputs(model, features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def language(rows: list[Asked], schedule: Schedule, seed: int) -> float:
        config = model.config
        lines = tokenize(rows, tokenizer, config.num_query_tokens, config.image_token_index)
        return train_language(model, outputs, lines, schedule, seed=seed, position=position)

    if recipe.describing is not None:
        describing = recipe.describing
        stages.run("describing", lambda: language(seen.described, describing, seed + 6))
    stages.run("language", lambda: language(seen.asked, recipe.language, seed + 4))
    _publish(model.eval(), processor, stages, folder / "vlm")


def train_hearing(
    material: Material, recipe: Recipe, seed: int, folder: Path, position: int
) -> None:
    """Train the miniature CLAP into `folder/audio_encoder`."""
    if finished(folder / "audio_encoder") is not None:
        return
    tokenizer = build_tokenizer(material.audio_encoder_texts(), end=True)
    model, processor = build_audio_encoder(recipe.audio_encoder, tokenizer, seed)
    stages = Stages(folder / "stages-audio_encoder", model)

    def hearing() -> float:
        return train_audio_encoder(
            model,
            tokenizer,
            material.heard(processor.feature_extractor),
            recipe.hearing,
            seed=seed + 5,
            position=position,
        )

    stages.run("audio_encoder", hearing)
    _publish(model.eval(), processor, stages, folder / "audio_encoder")
