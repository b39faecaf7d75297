"""Compare SAFE with the gate OFF and the plain base: outputs, operations and time.

The plain base is loaded separately from the one inside SAFE. Otherwise an adapter inserted into the
base itself would change both sides of the comparison.
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
    """Comparison of base and SAFE with the gate OFF for one sample.

    Attributes:
        mean_difference, max_difference: mean and maximum absolute difference of logits over
            positions and vocabulary; the larger value of an OFF batch and a mixed batch.
        bit_equal: `torch.equal` holds in both.
        base_answer, safe_answer: generated answers.
        same_tokens: the generated tokens are equal.
        mixed: the sample was also OFF in a mixed batch.
    """

    id: str
    mean_difference: float
    max_difference: float
    bit_equal: bool
    base_answer: str
    safe_answer: str
    same_tokens: bool
    mixed: bool


def _difference(safe: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    difference = (safe.double() - base.double()).abs().flatten(1)
    return difference.mean(dim=1), difference.amax(dim=1)


def _same_width(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Pad the shorter one on the right with -1, which is not a token."""
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
    """Compare a batch of VL samples, with the gate OFF for all and ON for every second one.

    Args:
        plain_base: the same base, loaded separately.
        sounds: one per sample, passed to every call; must have no effect with the gate OFF.
        decode: maps sequences and prompt length to answers.

    Yields:
        One item per sample, in order.
    """
    B, L = inputs["input_ids"].shape
    plain = plain_base(**inputs).logits
    alone = model(**inputs, gate=False, audio=sounds).logits
    mean, most = _difference(alone, plain)
    equal = [torch.equal(a, p) for a, p in zip(alone, plain, strict=True)]

    gate = [row % 2 == 1 for row in range(B)]
    off = [row for row, on in enumerate(gate) if not on]
    mixed = model(**inputs, gate=gate, audio=sounds).logits[off]
    subset = {name: value[off] for name, value in inputs.items()}
    plain_off = plain_base(**subset).logits
    mixed_mean, mixed_most = _difference(mixed, plain_off)
    mean[off] = torch.maximum(mean[off], mixed_mean)
    most[off] = torch.maximum(most[off], mixed_most)
    for row, safe, base in zip(off, mixed, plain_off, strict=True):
        equal[row] = equal[row] and torch.equal(safe, base)

    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": False}
    base_tokens = plain_base.generate(**inputs, **options)
    safe_tokens = model.generate(**inputs, gate=False, audio=sounds, **options).sequences
    base_answers, safe_answers = decode(base_tokens, L), decode(safe_tokens, L)
    safe_tokens, base_tokens = _same_width(safe_tokens, base_tokens)
    same = [torch.equal(s, b) for s, b in zip(safe_tokens, base_tokens, strict=True)]
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
    """Difference in operations between SAFE with the gate OFF and plain calls of the base.

    Attributes:
        flops: difference of floating-point operations.
        modules: number of module calls that only one of the two makes.
        hooks: difference in hooks installed on the base.
        base_flops: floating-point operations of the plain calls, for scale.
        tensor_operations: additional dispatched operations, which the gate makes on (B,) bools;
            not included in `total`.
        examples: some of the module calls that only one of the two makes.
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
    """Trace forward and generate of one batch for base and SAFE; sounds are passed to SAFE."""
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
    for call_base, call_safe in pairs:
        base, safe = trace(call_base, plain_base), trace(call_safe, model.base, wrapper=model)
        flops += abs(safe.flops - base.flops)
        extra += (safe.calls - base.calls) + (base.calls - safe.calls)
        base_flops += base.flops
        operations += safe.tensor_ops.total() - base.tensor_ops.total()
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
    """Time alternating (base, SAFE OFF) forwards of one batch after a warm-up, in seconds."""
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
