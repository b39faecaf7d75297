"""Training loop of all stages: AdamW, one cosine cycle, gradient clipping, progress bar."""

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
    """Length and optimizer settings of one stage."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    beta2: float = 0.999
    clip_norm: float = 1.0


def index_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of indices without end; each epoch has a new order and every index once."""
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
        parameters: parameters to train; frozen ones are ignored.
        loss_of: returns the loss of the samples at the given indices.
        generator: determines the order of the samples; the same generator state on one CPU thread
            gives the same weights.
        title, position: name and line of the progress bar on stderr.

    Returns:
        The loss, averaged over the last tenth of the steps.

    Raises:
        ModelError: the loss is not finite.
    """
    trained = [p for p in parameters if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=schedule.lr,
        betas=(0.9, schedule.beta2),
        weight_decay=schedule.weight_decay,
        fused=True,  # faster for the audio encoder's many small weights
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
            if os.getppid() != parent:  # stop if the parent process was killed
                raise SystemExit(1)
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    return sum(losses[-tail:]) / tail
