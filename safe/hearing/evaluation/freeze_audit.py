"""Audit of trainable and frozen parameters, and of changes to the frozen ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from safe.hearing.models.safe_model import SafeModel
from safe.hearing.models.weights import tensor_digests

# Parameters of SafeModel that may be trainable; each pattern must match at least one.
DECLARED = {
    "projector": r"projector\..+",
    "LoRA A": r"adapted\..+\.lora_A\.default\.weight",
    "LoRA B": r"adapted\..+\.lora_B\.default\.weight",
}


def frozen_tensors(model: SafeModel) -> dict[str, Tensor]:
    """Return parameters and saved buffers of the base and the audio encoder, by name.

    A weight of the LoRA copy that is not shared with the base is included as `twin.NAME`, so that
    the audit detects it.
    """
    found = {f"base.{n}": t for n, t in model.base.state_dict(keep_vars=True).items()}
    found |= {
        f"audio_encoder.{n}": t
        for n, t in model.audio_encoder_model.state_dict(keep_vars=True).items()
    }
    known = {id(t) for t in found.values()}
    for name, weight in model.adapted.named_parameters():
        if id(weight) not in known and not _declared(f"adapted.{name}"):
            found[f"twin.{name}"] = weight
    return found


def _declared(name: str) -> str | None:
    return next((kind for kind, p in DECLARED.items() if re.fullmatch(p, name)), None)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Result of `audit_frozen`.

    Attributes:
        share: share of the elements that require no gradient and did not change; 1 if all.
        tensors: number of tensors checked.
        thawed, changed: names of tensors that require a gradient, and of those that changed.
    """

    share: float
    tensors: int
    thawed: list[str]
    changed: list[str]


def audit_frozen(model: SafeModel, step: Callable[[], None]) -> Frozen:
    """Compare digests of all frozen tensors before and after a training step."""
    before = frozen_tensors(model)
    digests = tensor_digests(before.items())
    step()
    after = frozen_tensors(model)
    now = tensor_digests(after.items())
    names = sorted({*before, *after})
    thawed = [n for n in names if n in after and after[n].requires_grad]
    changed = [n for n in names if digests.get(n) != now.get(n)]
    sizes = {n: (after.get(n, before.get(n))).numel() for n in names}  # type: ignore[union-attr]
    bad = sum(sizes[n] for n in {*thawed, *changed})
    return Frozen(1 - bad / sum(sizes.values()), len(names), thawed, changed)


def unexpected_trainable(model: SafeModel) -> list[str]:
    """Return the faults of the set of trainable parameters, one line each."""
    faults, seen = [], set()
    for name, weight in model.named_parameters():
        kind = _declared(name)
        if kind is not None:
            seen.add(kind)
        if weight.requires_grad and kind is None:
            faults.append(f"{name} is trainable and not declared")
        elif not weight.requires_grad and kind is not None:
            faults.append(f"{name} is declared as trainable and frozen")
    return faults + [f"no parameter of the {kind}" for kind in DECLARED if kind not in seen]


def untrained_tensors(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], graded: Container[str]
) -> list[str]:
    """Return the trainable tensors that training did not reach, one line each.

    Args:
        before, after: trainable tensors by name, before and after training.
        graded: names of those that received a gradient other than zero.
    """
    faults = [f"{name} received no gradient" for name in after if name not in graded]
    return faults + [
        f"{name} did not change"
        for name, weight in after.items()
        if name in graded and torch.equal(before[name], weight)
    ]


def count(parameters: Mapping[str, nn.Parameter]) -> int:
    """Return the number of scalars in the parameters."""
    return sum(p.numel() for p in parameters.values())


def parameter_table(model: SafeModel) -> list[dict[str, str | int]]:
    """Return rows `module, trainable, frozen` with numbers of scalars, and a total."""
    table: dict[str, list[int]] = {}
    for name, weight in model.named_parameters():
        parts = name.split(".")
        if parts[0] == "adapted":
            group = "lora." + next((p for p in reversed(parts) if p.endswith("_proj")), parts[-3])
        else:
            frozen = parts[0] in ("base", "audio_encoder_model")
            group = ".".join(parts[:2] if frozen else parts[:1])
        table.setdefault(group, [0, 0])[0 if weight.requires_grad else 1] += weight.numel()
    rows: list[dict[str, str | int]] = [
        {"module": group, "trainable": trainable, "frozen": frozen}
        for group, (trainable, frozen) in table.items()
    ]
    totals = [sum(c) for c in zip(*table.values(), strict=True)]
    return [*rows, {"module": "total", "trainable": totals[0], "frozen": totals[1]}]
