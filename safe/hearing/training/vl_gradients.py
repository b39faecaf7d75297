"""Gradients of answers to VL examples, for null space and Fisher information.

Examples are paired with unrelated audio and have the gate ON. With the gate OFF the answer does not
depend on the trained weights.
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
    """Compute (n, P), the gradient of a score of the base's most likely tokens, per example.

    Args:
        of: `log_probability`, for the Fisher information; or `margin`, the difference to the next
            best logit, whose gradient does not vanish if the answer is certain.
        teacher: call `Teacher.ensure` with the examples first.
        rows: VL examples, each with unrelated audio.
        weights: trainable tensors, P numbers in total.
    """
    device = weights[0].device
    found = torch.empty(len(rows), sum(w.numel() for w in weights), device=device)
    for row, gradient in zip(rows, found, strict=True):
        inputs = feeder.scoring([row])
        logits = feeder.model.answer_logits(**inputs)[inputs["answer_mask"].bool()].float()
        base_tokens = teacher.logits([row]).argmax(-1, keepdim=True)
        if of == "margin":
            others = logits.scatter(-1, base_tokens, float("-inf")).amax(-1, keepdim=True)
            score = (logits.gather(-1, base_tokens) - others).sum()
        else:
            score = logits.log_softmax(-1).gather(-1, base_tokens).sum()
        gradient.copy_(flat(torch.autograd.grad(score, list(weights))))
    return found
