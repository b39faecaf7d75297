"""The gate: which rows of a batch consult the ear.

A policy decides once per call, and `SafeModel` uses that one decision in forward, generate and
score. Policies that look at the base's own uncertainty read `GateRequest.base_logits`, which runs
the base only when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from safe.errors import ModelError


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What a policy may look at.

    Attributes:
        rows: B, rows in the batch.
        has_audio: (B,) bool, rows that come with a sound to consult.
        base_logits: runs the untouched base on the prompt; (B, V), next-token logits.
    """

    rows: int
    has_audio: Tensor
    base_logits: Callable[[], Tensor]


@runtime_checkable
class Gate(Protocol):
    """A gating policy."""

    def decide(self, request: GateRequest) -> Tensor:
        """(B,) bool on the CPU: True where the row consults the ear."""
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
                mend="give one boolean a row",
            )
        return torch.tensor(self.consult, dtype=torch.bool)


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
                mend="compare with a threshold first",
            )
        return Mask(tuple(gate.tolist()))
    if isinstance(gate, Gate):
        return gate
    if isinstance(gate, Sequence) and all(isinstance(g, bool) for g in gate):
        return Mask(tuple(gate))
    raise ModelError(f"not a gate: {gate!r}", mend="give a policy, a bool, or one bool a row")
