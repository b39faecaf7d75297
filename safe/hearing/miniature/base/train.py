"""`safe train-miniature`: train a miniature from scratch, evaluate it and write its card."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from safe.errors import ModelError, SafeError
from safe.files import write_json
from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.miniature.base import CARD
from safe.hearing.miniature.base.chains import DONE, finished, train_hearing, train_vlm
from safe.hearing.miniature.base.digits import DigitsMaterial
from safe.hearing.miniature.base.evaluate import evaluate, faults
from safe.hearing.miniature.base.material import Material
from safe.hearing.miniature.base.recipe import RECIPES, Recipe
from safe.hearing.miniature.base.released import (
    MODELS,
    Card,
    file_digests,
    material_settings,
    recipe_digest,
)
from safe.hearing.miniature.base.world import WorldMaterial
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm

Chain = Callable[[Material, Recipe, int, Path, int], None]
PACKAGES = ("torch", "transformers", "numpy")


def material_for(config: RunConfig) -> Material:
    """Return the pretraining data of `config.base.miniature`.

    Raises:
        ModelError: the miniature is `digits` and no dataset of the run has the digits layout.
    """
    assert config.base.miniature is not None
    recipe = RECIPES[config.base.miniature]
    settings = material_settings(config.base.miniature, config)
    if config.base.miniature == "world":
        return WorldMaterial(recipe.pictures, recipe.sounds, recipe.seed)
    root = next(d.root for d in config.datasets if d.layout == "digits")
    return DigitsMaterial(root, settings["split_seed"], settings["image_size"], recipe.seed)


def train_miniature(config: RunConfig, out: Path) -> Card:
    """Train `config.base.miniature` and publish it below `out`.

    Finished stages are kept in `config.cache`, so a killed training loses at most one. The model is
    evaluated on the val split of the run's manifest, from its media files and with `generate`.

    Returns:
        The card, which is also written to `out/NAME/card.json`.

    Raises:
        ModelError: a stage failed, or the model does not qualify as a base; then nothing is
            published, and the results are in `evaluation.json` of the working folder.
    """
    name = config.base.miniature
    if name is None:
        raise ModelError(
            "the config names no miniature to train",
            key="base.miniature",
            hint="use config/config.yaml or config/av_digits.yaml",
        )
    recipe, material = RECIPES[name], material_for(config)
    settings = material_settings(name, config)
    digest = recipe_digest(recipe, settings)
    work = config.cache / "bases" / f"{name}-{digest[:16]}"
    stages = train_models(material, recipe, work, threads=config.threads)
    vlm, processor = load_vlm(work / "vlm")
    samples = load_samples(config.folder / "data" / "manifest.parquet", split="val")
    found = evaluate(
        vlm,
        processor,
        load_audio_encoder(work / "audio_encoder"),
        material,
        samples,
        seed=recipe.seed,
    )
    missed = faults(found)
    if missed:
        write_json(work / "evaluation.json", found)
        raise ModelError(
            "the trained model does not qualify as a base: " + "; ".join(missed),
            where=work / "evaluation.json",
            hint="train longer, or with another seed (safe/hearing/miniature/base/recipe.py)",
        )
    folder = publish(work, out / name)
    card = Card(
        name=name,
        recipe=recipe.settings(),
        recipe_digest=digest,
        material=settings,
        data_digest=material.digest(),
        files=file_digests(folder),
        evaluation=found,
        stages=stages,
        packages={package: metadata.version(package) for package in PACKAGES},
    )
    write_json(folder / CARD, card.model_dump(mode="json"))
    return card


def publish(work: Path, folder: Path) -> Path:
    """Copy the trained models to `folder`, replacing its content."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for model in MODELS:
        shutil.copytree(work / model, partial / model, ignore=shutil.ignore_patterns(DONE))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def train_models(
    material: Material, recipe: Recipe, folder: Path, *, threads: int
) -> dict[str, dict[str, float]]:
    """Train both models into `folder`, in parallel if there are at least two threads.

    Returns:
        Stage -> seconds (wall, cpu) and final loss.

    Raises:
        ModelError: a stage failed; finished stages are kept.
    """
    chains: dict[str, Chain] = {"vlm": train_vlm, "audio_encoder": train_hearing}
    todo = {name: chain for name, chain in chains.items() if finished(folder / name) is None}
    if todo:
        print(f"training the {material.name} miniature: {', '.join(todo)}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
    if len(todo) == 2 and threads > 1:
        _train_side_by_side(todo, material, recipe, folder)
    else:
        torch.set_num_threads(threads)
        for chain in todo.values():
            chain(material, recipe, recipe.seed, folder, 0)
    seconds: dict[str, Any] = {}
    for name in chains:
        stages = finished(folder / name)
        if stages is None:
            raise ModelError(
                f"training of the {name} ended without a model",
                where=folder / name,
                hint="start again: finished stages are kept",
            )
        seconds |= stages
        shutil.rmtree(folder / f"stages-{name}", ignore_errors=True)
    return seconds


def _run_chain(
    chain: Chain, material: Material, recipe: Recipe, folder: Path, position: int
) -> None:
    """Run one chain in its own process."""
    torch.set_num_threads(1)
    try:
        chain(material, recipe, recipe.seed, folder, position)
    except SafeError as error:
        print(f"safe: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _train_side_by_side(
    todo: dict[str, Chain], material: Material, recipe: Recipe, folder: Path
) -> None:
    """Run each chain in a spawned, single-threaded process; a fork inherits torch's threads."""
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_run_chain, args=(chain, material, recipe, folder, position))
        for position, chain in enumerate(todo.values())
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print("\n" * (len(todo) - 1), end="", file=sys.stderr)
    failed = [n for n, p in zip(todo, processes, strict=True) if p.exitcode != 0]
    if failed:
        raise ModelError(
            f"training stopped: {', '.join(failed)}",
            where=folder,
            hint="the reason is printed above; fix it and start again, finished stages are kept",
        )
