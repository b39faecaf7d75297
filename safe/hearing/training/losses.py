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
    """Training objective."""

    def __call__(self, model: SafeModel, batch: TrainingBatch) -> Mapping[str, Tensor]:
        """Compute scalars by name; `loss` is minimised, the others are only logged."""
        ...


def answer_cross_entropy(log_probs: Tensor, mask: Tensor, tokens: int | None = None) -> Tensor:
    """Compute the negative log-probability in nats per answer token.

    Args:
        log_probs: (B, T), from `SafeModel.score`.
        mask: (B, T), 1 at tokens.
        tokens: divisor, if the batch is a part of a larger one; by default the sum of `mask`.
    """
    return -(log_probs * mask).sum() / (mask.sum() if tokens is None else tokens)


def cross_entropy(model: SafeModel, batch: TrainingBatch) -> dict[str, Tensor]:
    """Cross-entropy of the answers of all examples."""
    scores = model.score(**batch.inputs)
    loss = answer_cross_entropy(scores, batch.inputs["answer_mask"], batch.tokens)
    return {"loss": loss, "cross_entropy": loss.detach()}


def distillation_divergence(teacher_NV: Tensor, student_NV: Tensor, tokens: int) -> Tensor:
    """Compute KL(teacher || student) of next-token distributions, in nats per answer token.

    Hinton et al. 2015 at temperature 1, with the base as teacher.

    Args:
        teacher_NV, student_NV: logits at the same positions.
        tokens: divisor of the sum.
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
    """cross_entropy * CE on audio examples + weight * KL(base || SAFE) on VL examples.

    VL examples are paired with unrelated audio and have the gate ON; their target is the base's
    distribution. With the gate OFF the divergence is zero by construction.
    """

    def __init__(self, weight: float, cross_entropy: float = 1.0) -> None:
        self.weight, self.cross_entropy = weight, cross_entropy

    def __call__(self, model: SafeModel, batch: TrainingBatch) -> dict[str, Tensor]:
        assert batch.audio_examples is not None
        mask = batch.inputs["answer_mask"].bool()
        logits = model.answer_logits(**batch.inputs)[mask]  # (N, V)
        audio_examples = batch.audio_examples.unsqueeze(1).expand_as(mask)[mask]
        zero = logits.new_zeros((), dtype=logits.dtype).float()
        audio_loss, divergence = zero, zero
        if bool(batch.audio_examples.any()):
            audio_loss = functional.cross_entropy(
                logits[audio_examples].float(),
                batch.inputs["answer_ids"][mask][audio_examples],
                reduction="sum",
            )
            audio_loss = audio_loss / (batch.tokens or int(audio_examples.sum()))
        if batch.teacher is not None:
            divergence = distillation_divergence(
                batch.teacher, logits[~audio_examples], batch.teacher_tokens
            )
        return {
            "loss": self.cross_entropy * audio_loss + self.weight * divergence,
            "cross_entropy": audio_loss.detach(),
            "divergence": divergence.detach(),
        }
