"""Gates: policies that decide which examples of a batch use the audio encoder.

A policy decides once per call; forward, generate and score of `SafeModel` use this decision.
Policies that need the base's uncertainty read `GateRequest.base_logits`, which runs the base only
when called.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from safe.errors import ModelError


@dataclass(frozen=True, slots=True)
class BaseOutputs:
    """Outputs of one forward pass of the base.

    Attributes:
        logits: (B, V), logits of the first answer token.
        image: (B, q, d), image tokens.
    """

    logits: Tensor
    image: Tensor


def no_question() -> Tensor:
    """Default of `GateRequest.question`: raise ModelError."""
    raise ModelError("the request has no prompts", hint="call the gate through `SafeModel`")


def no_preview() -> Tensor:
    """Default of `GateRequest.preview`: raise ModelError."""
    raise ModelError("the gate needs waveforms", hint="pass the waveforms as `audio`")


@dataclass(frozen=True, slots=True)
class GateRequest:
    """Inputs that are available to a policy.

    Attributes:
        rows: B, number of examples in the batch.
        has_audio: (B,) bool, examples that have audio.
        look: runs the base on the prompt; repeated calls reuse the first result.
        question: returns (B, d), mean of the prompt's token embeddings; does not run the base.
        preview: returns (B, 4) float64, see `safe.hearing.models.audio_summary`.
    """

    rows: int
    has_audio: Tensor
    look: Callable[[], BaseOutputs]
    question: Callable[[], Tensor] = no_question
    audio_summary: Callable[[], Tensor] = no_preview

    def base_logits(self) -> Tensor:
        """Return (B, V), the base's logits of the first answer token."""
        return self.look().logits


@runtime_checkable
class Gate(Protocol):
    """A gating policy."""

    def decide(self, request: GateRequest) -> Tensor:
        """Return a tensor on the CPU with one decision per example: (B,) bool, True for gate ON; or
        (B,) int64, the number of audio tokens to use, 0 for gate OFF.
        """
        ...


@dataclass(frozen=True, slots=True)
class AlwaysOn:
    """Gate ON for every example. Missing audio follows the model's `on_bad_audio`."""

    def decide(self, request: GateRequest) -> Tensor:
        return torch.ones(request.rows, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class AlwaysOff:
    """Gate OFF for every example: the output is the base's."""

    def decide(self, request: GateRequest) -> Tensor:
        return torch.zeros(request.rows, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class WhereAudio:
    """Gate ON for examples that have audio."""

    def decide(self, request: GateRequest) -> Tensor:
        return request.has_audio.clone()


@dataclass(frozen=True, slots=True)
class Mask:
    """Fixed decision per example."""

    consult: tuple[bool, ...]

    def decide(self, request: GateRequest) -> Tensor:
        if len(self.consult) != request.rows:
            raise ModelError(
                f"the gate's mask has {len(self.consult)} entries for {request.rows} examples",
                hint="pass one bool per example",
            )
        return torch.tensor(self.consult, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Fixed number of audio tokens per example; 0 is gate OFF."""

    counts: tuple[int, ...]

    def decide(self, request: GateRequest) -> Tensor:
        if len(self.counts) != request.rows:
            raise ModelError(
                f"the gate has {len(self.counts)} numbers of tokens for {request.rows} examples",
                hint="pass one number per example",
            )
        return torch.tensor(self.counts, dtype=torch.int64)


def tokens_heard(decided: Tensor, most: int) -> list[int]:
    """Convert a gate's decision to the number of audio tokens per example; True means all.

    Args:
        decided: (B,) bool or int64.
        most: number of audio tokens of the adapter.

    Raises:
        ModelError: a number outside 0 to `most`, or another dtype than bool or int64.
    """
    if decided.dtype == torch.bool:
        return [most if consult else 0 for consult in decided.tolist()]
    if decided.dtype != torch.int64:
        raise ModelError(f"a gate must return bool or int64, not {decided.dtype}")
    counts: list[int] = decided.tolist()
    wrong = sorted({count for count in counts if not 0 <= count <= most})
    if wrong:
        raise ModelError(
            f"the gate returned {', '.join(map(str, wrong))} audio tokens, not 0 to {most}",
            hint="use at most the adapter's number of audio tokens",
        )
    return counts


class UncertaintyGate(ABC):
    """Gate ON where the base's distribution of the first answer token is uncertain.

    Attributes:
        kind: name of the policy in a gate file.
    """

    kind: ClassVar[str]
    threshold: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ModelError(
                f"a threshold must be a finite number, not {self.threshold}",
                hint="use AlwaysOn or AlwaysOff for a gate without a threshold",
            )

    @classmethod
    def score(cls, logits: Tensor) -> Tensor:
        """Compute the score of logits (B, V) that is compared with the threshold.

        Returns:
            (B,) float64 on the CPU.

        Raises:
            ModelError: see `probabilities`.
        """
        return cls.of(probabilities(logits))

    @staticmethod
    @abstractmethod
    def of(probabilities: Tensor) -> Tensor:
        """Compute the (B,) score of `probabilities`, (B, V)."""

    @abstractmethod
    def consults(self, scores: Any) -> Any:
        """Return a bool mask of the scores (tensor or array) on the threshold's uncertain side."""

    def decide(self, request: GateRequest) -> Tensor:
        found: Tensor = self.consults(self.score(request.base_logits()))
        return found


def probabilities(logits: Tensor) -> Tensor:
    """Compute the softmax of logits (B, V), as float64 on the CPU.

    Raises:
        ModelError: the shape is wrong, or the softmax contains NaN.
    """
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ModelError(f"logits must be (B, V) with V > 1, not {tuple(logits.shape)}")
    found = logits.detach().double().softmax(dim=-1).cpu()
    broken = torch.nonzero(found.isnan().any(dim=-1)).flatten().tolist()
    if broken:
        raise ModelError(
            f"the base's logits contain NaN or infinity for the examples {broken} of the batch",
            hint="check the base, its dtype and these inputs, or use a fixed gate (bool or mask)",
        )
    return found


@dataclass(frozen=True, slots=True)
class EntropyGate(UncertaintyGate):
    """Gate ON where the entropy in nats exceeds the threshold (Shannon 1948)."""

    kind: ClassVar[str] = "entropy"
    threshold: float

    @staticmethod
    def of(probabilities: Tensor) -> Tensor:
        return torch.special.entr(probabilities).sum(dim=-1)

    def consults(self, scores: Any) -> Any:
        return scores > self.threshold


@dataclass(frozen=True, slots=True)
class MaxProbabilityGate(UncertaintyGate):
    """Gate ON where the largest probability is below the threshold."""

    kind: ClassVar[str] = "max_probability"
    threshold: float

    @staticmethod
    def of(probabilities: Tensor) -> Tensor:
        return probabilities.amax(dim=-1)

    def consults(self, scores: Any) -> Any:
        return scores < self.threshold


@dataclass(frozen=True, slots=True)
class MarginGate(UncertaintyGate):
    """Gate ON where the difference of the two largest probabilities is below the threshold."""

    kind: ClassVar[str] = "margin"
    threshold: float

    @staticmethod
    def of(probabilities: Tensor) -> Tensor:
        best = probabilities.topk(2, dim=-1).values
        return best[:, 0] - best[:, 1]

    def consults(self, scores: Any) -> Any:
        return scores < self.threshold


POLICIES: dict[str, type[UncertaintyGate]] = {
    policy.kind: policy for policy in (EntropyGate, MaxProbabilityGate, MarginGate)
}


GateLike = Gate | Tensor | Sequence[bool] | bool


def as_gate(gate: GateLike) -> Gate:
    """Convert a policy, a (B,) bool tensor, a sequence of bools, or one bool to a policy.

    Raises:
        ModelError: any other value, such as a tensor of numbers.
    """
    if isinstance(gate, bool):
        return AlwaysOn() if gate else AlwaysOff()
    if isinstance(gate, Tensor):
        if gate.dtype != torch.bool or gate.dim() != 1:
            raise ModelError(
                f"a gate mask must be a (B,) bool tensor, not {tuple(gate.shape)} {gate.dtype}",
                hint="compare the values with a threshold first",
            )
        return Mask(tuple(gate.tolist()))
    if isinstance(gate, Gate):
        return gate
    if isinstance(gate, Sequence) and all(isinstance(g, bool) for g in gate):
        return Mask(tuple(gate))
    raise ModelError(f"not a gate: {gate!r}", hint="pass a policy, a bool, or one bool per example")
