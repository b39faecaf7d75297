"""Training a miniature base, once: the same recipe, code, data and seed are found in the cache."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from safe.config import RunConfig
from safe.digest import digest_code, digest_json
from safe.errors import ModelError, SafeError
from safe.training.base.chains import finished, train_hearing, train_vlm
from safe.training.base.digits import DigitsMaterial
from safe.training.base.material import Material
from safe.training.base.recipe import RECIPES, Recipe
from safe.training.base.world import WorldMaterial

Chain = Callable[[Material, Recipe, int, Path, int], None]
# What decides the weights. Settings, errors or readers of other layouts do not, and a change there
# should not cost a training.
DECIDING = (
    "safe.training.base",
    "safe.data.world",
    "safe.data.layouts.digits",
    "safe.data.decode",
    "safe.models.prompt",
)


def material_for(config: RunConfig) -> Material:
    """The pretraining data of `config.base.train`.

    Raises:
        ModelError: the digits' base is wanted and no dataset of the run has their layout.
    """
    if config.base.train == "world":
        recipe = RECIPES["world"]
        return WorldMaterial(recipe.pictures, recipe.sounds, config.base.seed)
    for dataset in config.datasets:
        if dataset.layout == "digits":
            options = dataset.options
            return DigitsMaterial(
                dataset.root,
                int(options.get("seed", 0)),
                int(options.get("image_size", RECIPES["digits"].vlm.image_size)),
                config.base.seed,
            )
    raise ModelError(
        "the digits' base needs the digits",
        key="base.train",
        mend="add a dataset with `layout: digits`, or choose another base",
    )


def base_folder(config: RunConfig, material: Material, recipe: Recipe) -> Path:
    """Where this base lies in the cache, named by everything that makes it what it is."""
    digest = digest_json(
        [
            digest_code("safe.training.base.chains", DECIDING),
            digest_code(f"safe.training.base.{material.name}", DECIDING),
            recipe.settings(),
            config.base.seed,
            material.digest(),
        ]
    )
    return config.cache / "bases" / f"{material.name}-{digest[:16]}"


def _run_chain(
    chain: Chain, material: Material, recipe: Recipe, seed: int, folder: Path, position: int
) -> None:
    """One chain in a process of its own."""
    torch.set_num_threads(1)
    try:
        chain(material, recipe, seed, folder, position)
    except SafeError as error:
        print(f"safe: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def train_base(config: RunConfig) -> tuple[Path, dict[str, dict[str, float]]]:
    """Train `config.base.train`, or find it trained.

    Returns:
        The folder that holds `vlm` and `ear`, and the seconds (wall, cpu) and final loss of each
        stage in the run that trained it.

    Raises:
        ModelError: a stage failed; stages that were done stay.
    """
    assert config.base.train is not None
    recipe = RECIPES[config.base.train]
    material = material_for(config)
    folder = base_folder(config, material, recipe)
    chains: dict[str, Chain] = {"vlm": train_vlm, "ear": train_hearing}
    todo = {name: chain for name, chain in chains.items() if finished(folder / name) is None}
    if todo:
        print(f"training the {material.name} base: {', '.join(todo)}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
    if len(todo) == 2 and config.threads > 1:
        _train_side_by_side(todo, material, recipe, config.base.seed, folder)
    else:
        torch.set_num_threads(config.threads)
        for chain in todo.values():
            chain(material, recipe, config.base.seed, folder, 0)
    seconds: dict[str, dict[str, float]] = {}
    for name in chains:
        stages = finished(folder / name)
        if stages is None:
            raise ModelError(
                f"training of the {name} ended without a model",
                where=folder / name,
                mend="start again: finished stages are kept",
            )
        seconds |= stages
        shutil.rmtree(folder / f"stages-{name}", ignore_errors=True)
    return folder, seconds


def _train_side_by_side(
    todo: dict[str, Chain], material: Material, recipe: Recipe, seed: int, folder: Path
) -> None:
    """Every chain in a fresh process of one thread (a fork would inherit torch's threads)."""
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_run_chain, args=(chain, material, recipe, seed, folder, position))
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
            mend="the reason is printed above; start again when it is mended, finished stages stay",
        )
