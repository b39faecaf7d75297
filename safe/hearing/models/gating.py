"""The gate: which rows of a batch consult the audio encoder.

A policy decides once per call, and `SafeModel` uses that one decision in forward, generate and
score. Policies that look at the base's own uncertainty read `GateRequest.base_logits`, which runs
the base only when asked.
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
    """What one forward of the untouched base shows of a batch.

    Attributes:
        logits: (B, V), of the first answer token.
        image: (B, q, d), image tokens.
    """

    logits: Tensor
    image: Tensor


def no_question() -> Tensor:
    """For requests that come without prompts."""
    raise ModelError("there is no question to read", hint="gate by `SafeModel`, which has prompts")


def no_preview() -> Tensor:
    """For requests that come without sounds."""
    raise ModelError("there is no sound to glance at", hint="give the rows' waveforms as `audio`")


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What a policy may look at.

    Attributes:
        rows: B, rows in the batch.
        has_audio: (B,) bool, rows that come with a sound to consult.
        look: runs the untouched base on the prompt, once however often it is called.
        question: (B, d), mean of the prompt's embedded words, without a run of the base.
        preview: glances at the sounds, `safe.hearing.models.audio_summary`; (B, 4) float64.
    """

    rows: int
    has_audio: Tensor
    look: Callable[[], BaseOutputs]
    question: Callable[[], Tensor] = no_question
    preview: Callable[[], Tensor] = no_preview

    def base_logits(self) -> Tensor:
        """(B, V), the base's logits of the first answer token."""
        return self.look().logits


@runtime_checkable
class Gate(Protocol):
    """A gating policy."""

    def decide(self, request: GateRequest) -> Tensor:
        """(B,) bool on the CPU, True where the row consults the audio encoder; or (B,) int64, the
        number of audio tokens that it hears, 0 where it does not consult.
        """
        ...


@dataclass(frozen=True, slots=True)
class AlwaysOn:
    """Every row consults; a row without audio is then refused or counted, never ignored."""

    def decide(self, request: GateRequest) -> Tensor:
        return torch.ones(request.rows, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class AlwaysOff:
    """No row consults: SAFE is the base."""

    def decide(self, request: GateRequest) -> Tensor:
        return torch.zeros(request.rows, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class WhereAudio:
    """Rows that come with a sound consult it."""

    def decide(self, request: GateRequest) -> Tensor:
        return request.has_audio.clone()


@dataclass(frozen=True, slots=True)
class Mask:
    """The caller says for each row."""

    consult: tuple[bool, ...]

    def decide(self, request: GateRequest) -> Tensor:
        if len(self.consult) != request.rows:
            raise ModelError(
                f"the gate's mask has {len(self.consult)} entries for {request.rows} rows",
                hint="give one boolean a row",
            )
        return torch.tensor(self.consult, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The caller says how many audio tokens each row hears; 0 does not consult."""

    counts: tuple[int, ...]

    def decide(self, request: GateRequest) -> Tensor:
        if len(self.counts) != request.rows:
            raise ModelError(
                f"the gate has {len(self.counts)} numbers of tokens for {request.rows} rows",
                hint="give one a row",
            )
        return torch.tensor(self.counts, dtype=torch.int64)


def tokens_heard(decided: Tensor, most: int) -> list[int]:
    """Audio tokens of each row, from what a gate decided; True hears all of them.

    Args:
        decided: (B,) bool or int64.
        most: how many there are.

    Raises:
        ModelError: fewer than none, or more than there are; or no decision at all.
    """
    if decided.dtype == torch.bool:
        return [most if consult else 0 for consult in decided.tolist()]
    if decided.dtype != torch.int64:
        raise ModelError(f"a gate decides in bool or int64, not {decided.dtype}")
    counts: list[int] = decided.tolist()
    wrong = sorted({count for count in counts if not 0 <= count <= most})
    if wrong:
        raise ModelError(
            f"the gate asks for {', '.join(map(str, wrong))} audio tokens, of 0 to {most}",
            hint="choose among the adapter's audio tokens",
        )
    return counts


class UncertaintyGate(ABC):
    """Consult where the base's own distribution of the first answer token is uncertain.

    Attributes:
        kind: name of the policy in a gate file.
    """

    kind: ClassVar[str]
    threshold: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ModelError(
                f"a threshold must be a finite number, not {self.threshold}",
                hint="always ON and always OFF have policies of their own",
            )

    @classmethod
    def score(cls, logits: Tensor) -> Tensor:
        """(B,) float64 on the CPU: what the threshold is held against, of logits (B, V).

        Raises:
            ModelError: as `probabilities`.
        """
        return cls.of(probabilities(logits))

    @staticmethod
    @abstractmethod
    def of(probabilities: Tensor) -> Tensor:
        """The score of (B, V) `probabilities`."""

    @abstractmethod
    def consults(self, scores: Any) -> Any:
        """Which scores (a tensor or an array) lie on the uncertain side of the threshold."""

    def decide(self, request: GateRequest) -> Tensor:
        found: Tensor = self.consults(self.score(request.base_logits()))
        return found


def probabilities(logits: Tensor) -> Tensor:
    """(B, V) float64 on the CPU.

    Raises:
        ModelError: logits that are no distribution, such as NaN: they must neither skip nor
            consult unnoticed.
    """
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise ModelError(f"logits must be (B, V) with V > 1, not {tuple(logits.shape)}")
    found = logits.detach().double().softmax(dim=-1).cpu()
    broken = torch.nonzero(found.isnan().any(dim=-1)).flatten().tolist()
    if broken:
        raise ModelError(
            f"the base's logits are no distribution (NaN or infinite) in rows {broken}",
            hint="look for the cause in the base, its precision or these inputs; until then gate "
            "with `True`, `False` or a mask",
        )
    return found


@dataclass(frozen=True, slots=True)
class EntropyGate(UncertaintyGate):
    """Consult where the entropy, in nats, exceeds the threshold (Shannon 1948)."""

    kind: ClassVar[str] = "entropy"
    threshold: float

    @staticmethod
    def of(probabilities: Tensor) -> Tensor:
        return torch.special.entr(probabilities).sum(dim=-1)

    def consults(self, scores: Any) -> Any:
        return scores > self.threshold


@dataclass(frozen=True, slots=True)
class MaxProbabilityGate(UncertaintyGate):
    """Consult where the largest probability is below the threshold."""

    kind: ClassVar[str] = "max_probability"
    threshold: float

    @staticmethod
    def of(probabilities: Tensor) -> Tensor:
        return probabilities.amax(dim=-1)

    def consults(self, scores: Any) -> Any:
        return scores < self.threshold


@dataclass(frozen=True, slots=True)
class MarginGate(UncertaintyGate):
    """Consult where the largest probability leads the second by less than the threshold."""

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
    """A policy from a policy, a (B,) bool tensor, a sequence of bools, or one bool for all rows.

    Raises:
        ModelError: anything else, such as a tensor of numbers.
    """
    if isinstance(gate, bool):
        return AlwaysOn() if gate else AlwaysOff()
    if isinstance(gate, Tensor):
        if gate.dtype != torch.bool or gate.dim() != 1:
            raise ModelError(
                f"a gate mask must be a (B,) bool tensor, not {tuple(gate.shape)} {gate.dtype}",
                hint="compare with a threshold first",
            )
        return Mask(tuple(gate.tolist()))
    if isinstance(gate, Gate):
        return gate
    if isinstance(gate, Sequence) and all(isinstance(g, bool) for g in gate):
        return Mask(tuple(gate))
    raise ModelError(f"not a gate: {gate!r}", hint="give a policy, a bool, or one bool a row")
