"""Speed of the base's language stages, compared with unsplit batches and an unfused optimizer.

    python benchmarks/base_training.py

Uses the world's examples and architecture with random picture features, on one thread. Measures CPU
seconds in alternating turns. All variants minimise the same loss, apart from rounding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch.optim import AdamW

from safe.gates.statistics import ratio_bootstrap
from safe.hearing.miniature.base import language
from safe.hearing.miniature.base.architecture import build_vlm
from safe.hearing.miniature.base.loop import Schedule
from safe.hearing.miniature.base.recipe import RECIPES
from safe.hearing.miniature.base.tokenizer import build_tokenizer
from safe.hearing.miniature.base.world import WorldMaterial

RECIPE = RECIPES["world"]


def stage(
    rows: list[language.Asked], pictures: int, steps: int, batch_size: int
) -> Callable[[], float]:
    """Return a function that trains a new language model and returns its CPU seconds."""
    tokenizer = build_tokenizer(WorldMaterial(1, 1, 0).vlm_texts())
    shown = torch.randn(1, pictures, RECIPE.vlm.queries, RECIPE.vlm.width)
    schedule = Schedule(steps=steps, batch_size=batch_size, lr=1e-3)

    def train() -> float:
        model, _ = build_vlm(RECIPE.vlm, tokenizer, seed=0)
        config = model.config
        lines = language.tokenize(
            rows, tokenizer, config.num_query_tokens, config.image_token_index
        )
        started = time.process_time()
        language.train_language(model, shown, lines, schedule, seed=0)
        return time.process_time() - started

    return train


def one_by_one(parameters: Any, **settings: Any) -> torch.optim.Optimizer:
    """AdamW that updates one parameter at a time."""
    return AdamW(parameters, **settings | {"fused": False})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--turns", type=int, default=8, help="turns of each variant, at least 8")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seen = WorldMaterial(600, 1, 0).seen()
    stages = {
        "describing": (seen.described, RECIPE.describing),
        "language": (seen.asked, RECIPE.language),
    }
    others = {
        "whole batches": patch.object(language, "PARTS", 1),
        "weights one by one": patch.object(torch.optim, "AdamW", one_by_one),
    }
    for name, (rows, schedule) in stages.items():
        train = stage(rows, len(seen.images), given.steps, schedule.batch_size)
        train()
        for what, change in others.items():
            ours, theirs = [], []
            for _ in range(given.turns):
                ours.append(train())
                with change:
                    theirs.append(train())
            interval = ratio_bootstrap(theirs, ours, seed=0)
            print(
                f"{name:12}{1000 * min(ours) / given.steps:6.1f} ms per step; with {what} "
                f"{sum(theirs) / sum(ours):.3f} times (95 %: {interval.low:.3f} to "
                f"{interval.high:.3f})"
            )


if __name__ == "__main__":
    main()
