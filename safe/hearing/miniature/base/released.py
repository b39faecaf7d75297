"""Released weights of the miniatures, opened like any pretrained model.

`safe train-miniature` writes a folder per miniature: the models as Hugging Face folders, and
`card.json` with recipe, evaluation and the SHA-256 of every file. Opening fails if a file does not
match the card.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safe.digest import digest_file, digest_json
from safe.errors import ModelError
from safe.hearing.config import RunConfig
from safe.hearing.miniature.base import CARD, WEIGHTS
from safe.hearing.miniature.base.recipe import RECIPES, Recipe

MODELS = ("vlm", "audio_encoder")
HINT = "restore the folder with `git checkout`, or train it again with `make miniature`"


class Card(BaseModel):
    """Card of a released miniature.

    Attributes:
        recipe_digest: digest of `recipe` and `material`; must equal that of the recipe in the code.
        material: settings of the pretraining data that determine which data are held out.
        data_digest: digest of the pretraining data, including files.
        files: path below the folder -> SHA-256.
        evaluation: accuracy by question type, and CLAP's zero-shot accuracy, on held-out data.
        stages: training stage -> seconds (wall, cpu) and final loss.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recipe: dict[str, Any]
    recipe_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    material: dict[str, int]
    data_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    files: dict[str, str]
    evaluation: dict[str, Any]
    stages: dict[str, dict[str, float]]
    packages: dict[str, str]


def material_settings(name: str, config: RunConfig) -> dict[str, int]:
    """Return the settings of a miniature's pretraining data from the run's config.

    Raises:
        ModelError: the miniature is `digits` and no dataset of the run has the digits layout.
    """
    if name == "world":
        return {}
    for dataset in config.datasets:
        if dataset.layout == "digits":
            size = RECIPES["digits"].vlm.image_size
            return {
                "split_seed": int(dataset.options.get("seed", 0)),
                "image_size": int(dataset.options.get("image_size", size)),
            }
    raise ModelError(
        "the digits miniature needs a dataset of the digits layout",
        key="base.miniature",
        hint="add a dataset with `layout: digits`, or choose another base",
    )


def recipe_digest(recipe: Recipe, material: dict[str, int]) -> str:
    """Return the SHA-256 of all training settings of a miniature, without code and data."""
    return digest_json([recipe.settings(), material])


def read_card(folder: Path) -> Card:
    """Read the card of a released miniature.

    Raises:
        ModelError: the card is missing or invalid.
    """
    path = folder / CARD
    try:
        return Card.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError("the miniature has no card", where=path, hint=HINT) from None
    except (OSError, ValueError) as error:  # ValidationError is a ValueError
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ModelError(f"cannot be read as a card: {reason}", where=path, hint=HINT) from None


def file_digests(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file of the models below `folder`."""
    paths = sorted(p for model in MODELS for p in (folder / model).rglob("*") if p.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in paths}


def open_released(config: RunConfig, weights: Path = WEIGHTS) -> tuple[Path, Card]:
    """Verify every file of `config.base.miniature`; return its folder and card.

    Raises:
        ModelError: a file is missing, changed or unknown, the card belongs to another recipe, or
            the run's data settings would put training data of the miniature in a held-out split.
    """
    name = config.base.miniature
    assert name is not None
    folder = weights / name
    card = read_card(folder)
    found = file_digests(folder)
    faults = [
        *(f"{path} is missing" for path in card.files if path not in found),
        *(f"{path} is not on the card" for path in found if path not in card.files),
        *(
            f"{path} was changed (SHA-256 {found[path][:12]}, the card says {digest[:12]})"
            for path, digest in card.files.items()
            if path in found and found[path] != digest
        ),
    ]
    if faults:
        raise ModelError("; ".join(faults), where=folder, key="base.miniature", hint=HINT)
    if card.name != name or card.recipe_digest != recipe_digest(RECIPES[name], card.material):
        raise ModelError(
            f"the weights do not have the recipe of {name!r} in this version of SAFE",
            where=folder / CARD,
            key="recipe_digest",
            hint=HINT,
        )
    wanted = material_settings(name, config)
    if wanted != card.material:
        raise ModelError(
            f"the miniature was trained with {card.material}, but the run has {wanted}; "
            "some of its training pictures would be in held-out splits",
            where=folder / CARD,
            key="material",
            hint="use the dataset's default options, or train another miniature with `safe "
            "train-miniature`",
        )
    return folder, card
