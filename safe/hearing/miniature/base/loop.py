"""The loop that every stage of the base shares: AdamW, one cosine cycle, clipping, a bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter
from tqdm import tqdm

from safe.errors import ModelError


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one stage trains."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    beta2: float = 0.999
    clip_norm: float = 1.0


def index_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless batches of indices: every epoch a new order, each index once an epoch."""
    if count < 1:
        raise ModelError("there is nothing to train on", hint="give the base at least one sample")
    pool = torch.empty(0, dtype=torch.long)
    while True:
        while len(pool) < batch_size:
            pool = torch.cat([pool, torch.randperm(count, generator=generator)])
        yield pool[:batch_size]
        pool = pool[batch_size:]


def fit(
    parameters: Iterable[Parameter],
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    schedule: Schedule,
    *,
    generator: torch.Generator,
    title: str,
    position: int = 0,
) -> float:
    """Minimise `loss_of(indices)` over `count` samples.

    Args:
        parameters: what is trained.
        loss_of: the loss of the samples at the given indices.
        generator: the order of the samples; with the same generator state and one CPU thread the
            weights come out the same.
        title, position: name and line of the progress bar on stderr.

    Returns:
        The loss, averaged over the last tenth of the steps.

    Raises:
        ModelError: the loss is no longer finite.
    """
    trained = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=schedule.lr,
        betas=(0.9, schedule.beta2),
        weight_decay=schedule.weight_decay,
        fused=True,  # one operation: the audio encoder's weights are many and small
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=schedule.lr,
        total_steps=schedule.steps + 1,
        pct_start=schedule.warmup,
        cycle_momentum=False,
    )
    parent, tail, losses = os.getppid(), max(1, schedule.steps // 10), []
    batches = index_batches(count, schedule.batch_size, generator)
    with tqdm(total=schedule.steps, desc=title, position=position, mininterval=0.5) as bar:
        for step in range(schedule.steps):
            loss = loss_of(next(batches))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, schedule.clip_norm)
            optimizer.step()
            cycle.step()
            losses.append(float(loss.detach()))
            if losses[-1] != losses[-1] or losses[-1] == float("inf"):
                raise ModelError(
                    f"{title}: the loss is {losses[-1]} at step {step}",
                    hint="lower the learning rate of that stage in miniature/base/recipe.py",
                )
            if os.getppid() != parent:  # a killed run leaves no orphan training on
                raise SystemExit(1)
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    return sum(losses[-tail:]) / tail
