"""A learned gate: a linear policy over what is known before listening, kept in one small file.

What it looks at is one of three views, each with all that the one before has: the question alone,
as the mean of its embedded words; what one forward of the base shows (image tokens as a mean, and
the entropy, largest probability and margin of the answer); and a glance at the sound. A view is
worth having where it earns its time: a forward of the base takes about as long as the base's
answer. The policy has a preference for each action, to skip or to hear so many audio tokens; the
largest is taken, of equals the one that listens least.

Shape legend: B rows, F features, A actions, d width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from safe.errors import ModelError
from safe.files import atomic
from safe.hearing.models.audio_summary import NAMES
from safe.hearing.models.gating import POLICIES, GateRequest, probabilities

HINT = "measure experiment 12 again"
TENSORS = ("mean", "scale", "weight", "bias")
QUESTION, LOOK, GLANCE = VIEWS = ("question", "look", "glance")  # the cheapest first


def features_of(request: GateRequest, view: str = GLANCE) -> Tensor:
    """(B, F) float64 on the CPU: the policy's state.

    Raises:
        ModelError: it glances, and rows come without waveforms.
    """
    parts = [request.question().double().cpu()]
    if view != QUESTION:
        look = request.look()
        likely = probabilities(look.logits)
        parts += [
            look.image.double().mean(dim=1).cpu(),
            torch.stack([policy.of(likely) for policy in POLICIES.values()], dim=1),
        ]
    if view == GLANCE:
        parts.append(request.preview().double())
    return torch.cat(parts, dim=1)


def feature_names(width: int, view: str = GLANCE) -> list[str]:
    """What `features_of` gives, in its order; `width` is d."""
    names = [f"question {i}" for i in range(width)]
    if view != QUESTION:
        names += [*(f"image {i}" for i in range(width)), *POLICIES]
    return [*names, *NAMES] if view == GLANCE else names


def view_of(features: Sequence[str]) -> str | None:
    """The view that has these features; None where none has."""
    width = sum(name.startswith("question ") for name in features)
    return next((view for view in VIEWS if feature_names(width, view) == list(features)), None)


class PolicyRecord(BaseModel):
    """What stands beside the weights.

    Attributes:
        actions: audio tokens of each action; the first is 0, to skip.
        features: names of what it looks at, those of a view.
        base, adapter: digests of the base's weights and of the adapter's record; a policy means
            nothing on others.
        trained_on: digest of the outcomes that it was trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=1, ge=1, le=1)
    actions: tuple[int, ...] = Field(min_length=2)
    features: tuple[str, ...] = Field(min_length=1)
    price: float = Field(ge=0, allow_inf_nan=False)
    base: str = Field(pattern=r"^[0-9a-f]{64}$")
    adapter: str = Field(pattern=r"^[0-9a-f]{64}$")
    trained_on: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class LearnedGate:
    """A gate whose rows skip, or hear as many audio tokens as the policy prefers.

    Attributes:
        mean, scale: (F,), what features are brought to mean 0 and deviation 1 by.
        weight, bias: (A, F) and (A,), float64.
    """

    record: PolicyRecord
    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    @cached_property
    def view(self) -> str:
        """What it looks at before it decides.

        Raises:
            ModelError: its features are those of no view.
        """
        found = view_of(self.record.features)
        if found is None:
            raise ModelError("the policy's features are those of no view", hint=HINT)
        return found

    @cached_property
    def _weight_FA(self) -> Tensor:
        """The weights on features as they come, which leaves two operations to a decision."""
        return (self.weight / self.scale).T

    @cached_property
    def _bias_A(self) -> Tensor:
        return self.bias - self.mean @ self._weight_FA

    def preferences(self, features_BF: Tensor) -> Tensor:
        """(B, A)."""
        if features_BF.shape[1] != len(self.mean):
            raise ModelError(
                f"the policy knows {len(self.mean)} features and is given {features_BF.shape[1]}",
                hint="use it with the base that it was trained with",
            )
        return torch.addmm(self._bias_A, features_BF.double(), self._weight_FA)

    def decide(self, request: GateRequest) -> Tensor:
        """(B,) int64: audio tokens that each row hears.

        Raises:
            ModelError: it glances, and rows come without waveforms.
        """
        preferred = self.preferences(features_of(request, self.view)).argmax(dim=1)
        return torch.tensor(self.record.actions, dtype=torch.int64)[preferred]


def save_policy(path: Path, gate: LearnedGate) -> Path:
    """Write a policy whole or not at all."""
    tensors = {name: getattr(gate, name).double().contiguous() for name in TENSORS}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"record": gate.record.model_dump_json()})
    return path


def load_policy(path: Path, *, base: str | None = None, adapter: str | None = None) -> LearnedGate:
    """The policy of a file, to be handed to `SafeModel` as `gate`.

    Args:
        base, adapter: digests of what it is to be used with.

    Raises:
        ModelError: the file cannot be used, or is of another base or adapter.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = PolicyRecord.model_validate_json((file.metadata() or {}).get("record", ""))
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except FileNotFoundError:
        raise ModelError(
            "there is no policy", where=path, hint="experiment 12 writes one"
        ) from None
    except ValidationError as error:
        raise ModelError(
            f"not a policy: {error.errors()[0]['msg']}", where=path, hint=HINT
        ) from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot be read: {error}", where=path, hint=HINT) from None
    _check_shapes(record, tensors, path)
    for what, wanted, found in (("base", record.base, base), ("adapter", record.adapter, adapter)):
        if found is not None and found != wanted:
            raise ModelError(
                f"the policy was trained with the {what} of digest {wanted}, the one given has "
                f"{found}",
                where=path,
                key=what,
                hint=f"train a policy for this {what}: experiment 12",
            )
    return LearnedGate(record, *(tensors[name] for name in TENSORS))


def _check_shapes(record: PolicyRecord, tensors: dict[str, Tensor], path: Path) -> None:
    features, actions = len(record.features), len(record.actions)
    wanted: dict[str, Sequence[int]] = {
        "mean": [features],
        "scale": [features],
        "weight": [actions, features],
        "bias": [actions],
    }
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if view_of(record.features) is None:
        raise ModelError("its features are those of no view", where=path, hint=HINT)
    sound = (
        found == wanted
        and all(t.dtype == torch.float64 and bool(t.isfinite().all()) for t in tensors.values())
        and bool((tensors["scale"] > 0).all())
        and record.actions[0] == 0
        and all(low < high for low, high in zip(record.actions, record.actions[1:], strict=False))
    )
    if not sound:
        raise ModelError(
            f"its weights {found} are not those of {actions} actions, the first to skip, over "
            f"{features} features",
            where=path,
            hint=HINT,
        )
