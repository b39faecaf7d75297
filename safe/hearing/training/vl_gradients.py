"""Gradients of what pictures are answered with: what null space and Fisher information are made of.

Rows hear what has nothing to do with them, with the gate ON: with the gate OFF nothing that is
trained takes part in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example
from safe.hearing.training.null_space import flat
from safe.hearing.training.teacher import Teacher

Of = Literal["log_probability", "margin"]


def vl_gradients(
    feeder: Feeder,
    teacher: Teacher,
    rows: Sequence[Example],
    weights: Sequence[Tensor],
    *,
    of: Of = "log_probability",
) -> Tensor:
    """(n, P): per row, the gradient of how likely what the base would say is.

    Args:
        of: `log_probability`, what the Fisher information is made of; or `margin`, by how much its
            logits lead the next best, whose gradient does not vanish where the answer is sure.
        teacher: has been asked for the rows (`Teacher.ensure`).
        rows: VL rows, each with a sound that is not its own.
        weights: trainable tensors, P numbers in all.
    """
    device = weights[0].device
    found = torch.empty(len(rows), sum(w.numel() for w in weights), device=device)
    for row, gradient in zip(rows, found, strict=True):
        inputs = feeder.scoring([row])
        logits = feeder.model.answer_logits(**inputs)[inputs["answer_mask"].bool()].float()
        said = teacher.logits([row]).argmax(-1, keepdim=True)
        if of == "margin":
            others = logits.scatter(-1, said, float("-inf")).amax(-1, keepdim=True)
            wanted = (logits.gather(-1, said) - others).sum()
        else:
            wanted = logits.log_softmax(-1).gather(-1, said).sum()
        gradient.copy_(flat(torch.autograd.grad(wanted, list(weights))))
    return found
