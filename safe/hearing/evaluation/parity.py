"""SAFE with its gate OFF against the plain base: the same numbers, for the same work.

The plain base is opened on its own, apart from the one inside SAFE: an adapter that was put into
the base itself would change both sides of a comparison within SAFE alike.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from safe.hearing.models.audio import Audio
from safe.hearing.models.probe import installed_hooks, trace
from safe.hearing.models.safe_model import SafeModel

Inputs = dict[str, Tensor]  # as the base's processor makes them


@dataclass(frozen=True, slots=True)
class ItemParity:
    """One sample, base against SAFE with the gate OFF.

    Attributes:
        mean_difference, max_difference: of absolute logits over all positions and words; the worse
            of the sample alone in an OFF batch and as an OFF row among ON rows.
        bit_equal: `torch.equal` in both.
        base_answer, safe_answer: generated; token for token the same where `same_tokens`.
        mixed: whether it was also an OFF row of a mixed batch.
    """

    id: str
    mean_difference: float
    max_difference: float
    bit_equal: bool
    base_answer: str
    safe_answer: str
    same_tokens: bool
    mixed: bool


def _gap(mine: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    gap = (mine.double() - theirs.double()).abs().flatten(1)
    return gap.mean(dim=1), gap.amax(dim=1)


def _same_width(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Fill the shorter on the right with -1, which is no token."""
    width = max(one.shape[1], other.shape[1])
    filled = [pad(t, (0, width - t.shape[1]), value=-1) for t in (one, other)]
    return filled[0], filled[1]


@torch.no_grad()
def compare(
    model: SafeModel,
    plain_base: Any,
    ids: Sequence[str],
    inputs: Inputs,
    sounds: Audio,
    *,
    decode: Callable[[Tensor, int], list[str]],
    max_new_tokens: int,
) -> Iterator[ItemParity]:
    """Compare one batch of VL samples, alone and with every second row ON.

    Args:
        plain_base: the same base, opened on its own.
        sounds: one a row, offered to every call: an OFF row must not hear it.
        decode: sequences and prompt length to answers.

    Yields:
        One item a row, in order.
    """
    B, L = inputs["input_ids"].shape
    plain = plain_base(**inputs).logits
    alone = model(**inputs, gate=False, audio=sounds).logits
    mean, most = _gap(alone, plain)
    equal = [torch.equal(a, p) for a, p in zip(alone, plain, strict=True)]

    gate = [row % 2 == 1 for row in range(B)]
    off = [row for row, on in enumerate(gate) if not on]
    mixed = model(**inputs, gate=gate, audio=sounds).logits[off]
    subset = {name: value[off] for name, value in inputs.items()}
    plain_off = plain_base(**subset).logits
    mixed_mean, mixed_most = _gap(mixed, plain_off)
    mean[off] = torch.maximum(mean[off], mixed_mean)
    most[off] = torch.maximum(most[off], mixed_most)
    for row, mine, theirs in zip(off, mixed, plain_off, strict=True):
        equal[row] = equal[row] and torch.equal(mine, theirs)

    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False}
    theirs = plain_base.generate(**inputs, **options)
    ours = model.generate(**inputs, gate=False, audio=sounds, **options).sequences
    base_answers, safe_answers = decode(theirs, L), decode(ours, L)
    ours, theirs = _same_width(ours, theirs)
    same = [torch.equal(o, t) for o, t in zip(ours, theirs, strict=True)]
    for row in range(B):
        yield ItemParity(
            ids[row],
            float(mean[row]),
            float(most[row]),
            equal[row],
            base_answers[row],
            safe_answers[row],
            same[row],
            not gate[row],
        )


@dataclass(frozen=True, slots=True)
class Overhead:
    """Work of SAFE with the gate OFF beyond that of a plain call.

    Attributes:
        flops: difference of counted floating-point operations.
        modules: calls of modules that only one of the two makes.
        hooks: difference in hooks installed on the base.
        base_flops: of the plain calls, for scale.
        tensor_operations: dispatched operations more than the plain call; the gate's own few on
            (B,) bools. Reported, not judged.
        examples: some of the calls that only one of the two makes.
    """

    flops: int
    modules: int
    hooks: int
    base_flops: int
    tensor_operations: int
    examples: tuple[str, ...]

    @property
    def total(self) -> int:
        return self.flops + self.modules + self.hooks

    def record(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def overhead(
    model: SafeModel, plain_base: Any, inputs: Inputs, sounds: Audio, *, max_new_tokens: int
) -> Overhead:
    """Trace forward and generate of one batch, base and SAFE OFF, with the sounds at hand."""
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False}
    pairs = (
        (
            lambda: plain_base(**inputs),
            lambda: model(**inputs, gate=False, audio=sounds),
        ),
        (
            lambda: plain_base.generate(**inputs, **options),
            lambda: model.generate(**inputs, gate=False, audio=sounds, **options),
        ),
    )
    flops = base_flops = operations = 0
    extra: Counter[str] = Counter()
    for plain, mine in pairs:
        theirs, ours = trace(plain, plain_base), trace(mine, model.base, wrapper=model)
        flops += abs(ours.flops - theirs.flops)
        extra += (ours.calls - theirs.calls) + (theirs.calls - ours.calls)
        base_flops += theirs.flops
        operations += ours.tensor_ops.total() - theirs.tensor_ops.total()
    return Overhead(
        flops=flops,
        modules=extra.total(),
        hooks=abs(installed_hooks(model.base) - installed_hooks(plain_base)),
        base_flops=base_flops,
        tensor_operations=operations,
        examples=tuple(sorted(extra)[:10]),
    )


@torch.no_grad()
def time_pairs(
    model: SafeModel, plain_base: Any, inputs: Inputs, sounds: Audio, *, repeats: int
) -> list[tuple[float, float]]:
    """Seconds of (base, SAFE OFF) forwards of one batch, in alternating order, after a warm-up."""
    calls: dict[str, Callable[[], Any]] = {
        "base": lambda: plain_base(**inputs),
        "safe": lambda: model(**inputs, gate=False, audio=sounds),
    }

    def clock(name: str) -> float:
        _wait(model.device)
        start = time.perf_counter()
        calls[name]()
        _wait(model.device)
        return time.perf_counter() - start

    for name in calls:
        clock(name)
    pairs = []
    for turn in range(repeats):
        first, second = ("base", "safe") if turn % 2 == 0 else ("safe", "base")
        seconds = {first: clock(first)}
        seconds[second] = clock(second)
        pairs.append((seconds["base"], seconds["safe"]))
    return pairs


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
