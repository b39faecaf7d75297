"""Losses over answer tokens. Shape legend: N answer tokens, V vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor
from torch.nn import functional

from safe.hearing.models.safe_model import SafeModel

if TYPE_CHECKING:
    from safe.hearing.training.trainer import TrainingBatch


class Objective(Protocol):
    """What is minimised."""

    def __call__(self, model: SafeModel, batch: TrainingBatch) -> Mapping[str, Tensor]:
        """Scalars by name; `loss` is the one to descend, the others are for the record."""
        ...


def answer_cross_entropy(log_probs: Tensor, mask: Tensor, tokens: int | None = None) -> Tensor:
    """Negative log-probability in nats per answer token.

    Args:
        log_probs: (B, T), from `SafeModel.score`.
        mask: (B, T), 1 where there is a token.
        tokens: to divide by, where the batch is a part of a larger one.
    """
    return -(log_probs * mask).sum() / (mask.sum() if tokens is None else tokens)


def cross_entropy(model: SafeModel, batch: TrainingBatch) -> dict[str, Tensor]:
    """The answers of all rows."""
    scores = model.score(**batch.inputs)
    loss = answer_cross_entropy(scores, batch.inputs["answer_mask"], batch.tokens)
    return {"loss": loss, "cross_entropy": loss.detach()}


def distillation_divergence(teacher_NV: Tensor, student_NV: Tensor, tokens: int) -> Tensor:
    """KL(teacher || student) of next-token distributions, in nats per answer token.

    Hinton et al. 2015 at temperature 1, with the base as teacher.

    Args:
        teacher_NV, student_NV: logits at the same positions.
        tokens: to divide by.
    """
    return (
        functional.kl_div(
            student_NV.float().log_softmax(-1),
            teacher_NV.float().log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
        / tokens
    )


class StageAObjective:
    """cross_entropy * CE on rows that need their sound + weight * KL(base || SAFE) on VL rows.

    VL rows hear what has nothing to do with them, with the gate ON; what they should answer is
    what the base answers. With the gate OFF that difference is zero by construction.
    """

    def __init__(self, weight: float, cross_entropy: float = 1.0) -> None:
        self.weight, self.cross_entropy = weight, cross_entropy

    def __call__(self, model: SafeModel, batch: TrainingBatch) -> dict[str, Tensor]:
        assert batch.audio_examples is not None
        mask = batch.inputs["answer_mask"].bool()
        logits = model.answer_logits(**batch.inputs)[mask]  # (N, V), row after row
        audio_examples = batch.audio_examples.unsqueeze(1).expand_as(mask)[mask]
        zero = logits.new_zeros((), dtype=logits.dtype).float()
        named, divergence = zero, zero
        if bool(batch.audio_examples.any()):
            named = functional.cross_entropy(
                logits[audio_examples].float(),
                batch.inputs["answer_ids"][mask][audio_examples],
                reduction="sum",
            )
            named = named / (batch.tokens or int(audio_examples.sum()))
        if batch.teacher is not None:
            divergence = distillation_divergence(
                batch.teacher, logits[~audio_examples], batch.teacher_tokens
            )
        return {
            "loss": self.cross_entropy * named + self.weight * divergence,
            "cross_entropy": named.detach(),
            "divergence": divergence.detach(),
        }
