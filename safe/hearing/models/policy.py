"""A learned gate: a linear policy over features that need no audio encoder, saved in one file.

A policy uses one of three views; each adds features to the previous one. `question` is the mean of
the prompt's token embeddings. `look` adds one forward pass of the base: the mean image token, and
the entropy, largest probability and margin of the first answer token. This takes about as long as
the base's answer. `glance` adds statistics of the waveform. An action is to skip, or a number of
audio tokens. The action with the largest preference is taken, the first one on ties.

Shape legend: B examples, F features, A actions, d width of the language model.
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
    """Compute the policy's input features, (B, F) float64 on the CPU.

    Raises:
        ModelError: the view is `glance` and waveforms are missing.
    """
    parts = [request.question().double().cpu()]
    if view != QUESTION:
        outputs = request.look()
        answer_probs = probabilities(outputs.logits)
        parts += [
            outputs.image.double().mean(dim=1).cpu(),
            torch.stack([policy.of(answer_probs) for policy in POLICIES.values()], dim=1),
        ]
    if view == GLANCE:
        parts.append(request.audio_summary().double())
    return torch.cat(parts, dim=1)


def feature_names(width: int, view: str = GLANCE) -> list[str]:
    """Return the names of the columns of `features_of`; `width` is d."""
    names = [f"question {i}" for i in range(width)]
    if view != QUESTION:
        names += [*(f"image {i}" for i in range(width)), *POLICIES]
    return [*names, *NAMES] if view == GLANCE else names


def view_of(features: Sequence[str]) -> str | None:
    """Return the view with these features, or None."""
    width = sum(name.startswith("question ") for name in features)
    return next((view for view in VIEWS if feature_names(width, view) == list(features)), None)


class PolicyRecord(BaseModel):
    """Metadata of a policy file.

    Attributes:
        actions: audio tokens of each action; the first is 0 (skip).
        features: feature names of a view.
        base, adapter: digests of the base's weights and of the adapter's record; the policy is
            valid only for these.
        trained_on: digest of the outcomes that the policy was trained on.
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
    """Gate that selects the number of audio tokens (0 to skip) by a linear policy.

    Attributes:
        mean, scale: (F,), mean and standard deviation that normalise the features.
        weight, bias: (A, F) and (A,), float64.
    """

    record: PolicyRecord
    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    @cached_property
    def view(self) -> str:
        """View whose features the policy uses.

        Raises:
            ModelError: the features belong to no view.
        """
        found = view_of(self.record.features)
        if found is None:
            raise ModelError("the policy's features belong to no view", hint=HINT)
        return found

    @cached_property
    def _weight_FA(self) -> Tensor:
        """Weights for unnormalised features, so that a decision needs only one `addmm`."""
        return (self.weight / self.scale).T

    @cached_property
    def _bias_A(self) -> Tensor:
        return self.bias - self.mean @ self._weight_FA

    def preferences(self, features_BF: Tensor) -> Tensor:
        """Compute the preference for each action, (B, A).

        Raises:
            ModelError: the number of features is wrong.
        """
        if features_BF.shape[1] != len(self.mean):
            raise ModelError(
                f"the policy needs {len(self.mean)} features, not {features_BF.shape[1]}",
                hint="use the base that the policy was trained with",
            )
        return torch.addmm(self._bias_A, features_BF.double(), self._weight_FA)

    def decide(self, request: GateRequest) -> Tensor:
        """Return (B,) int64, the number of audio tokens of each example.

        Raises:
            ModelError: the view is `glance` and waveforms are missing.
        """
        preferred = self.preferences(features_of(request, self.view)).argmax(dim=1)
        return torch.tensor(self.record.actions, dtype=torch.int64)[preferred]


def save_policy(path: Path, gate: LearnedGate) -> Path:
    """Write a policy file atomically."""
    tensors = {name: getattr(gate, name).double().contiguous() for name in TENSORS}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"record": gate.record.model_dump_json()})
    return path


def load_policy(path: Path, *, base: str | None = None, adapter: str | None = None) -> LearnedGate:
    """Load a policy file, to pass to `SafeModel` as `gate`.

    Args:
        base, adapter: digests of the base and adapter to use it with.

    Raises:
        ModelError: the file cannot be used, or was made for another base or adapter.
    """
    try:
        with safe_open(path, framework="pt") as file:
            record = PolicyRecord.model_validate_json((file.metadata() or {}).get("record", ""))
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except FileNotFoundError:
        raise ModelError(
            "there is no policy", where=path, hint="run experiment 12, which writes one"
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
                f"the policy was trained with the {what} of digest {wanted}, but this {what} has "
                f"{found}",
                where=path,
                key=what,
                hint=f"train a policy for this {what} with experiment 12",
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
        raise ModelError("the policy's features belong to no view", where=path, hint=HINT)
    valid = (
        found == wanted
        and all(t.dtype == torch.float64 and bool(t.isfinite().all()) for t in tensors.values())
        and bool((tensors["scale"] > 0).all())
        and record.actions[0] == 0
        and all(low < high for low, high in zip(record.actions, record.actions[1:], strict=False))
    )
    if not valid:
        raise ModelError(
            f"weights {found} are not valid for {actions} ascending actions from 0 and "
            f"{features} features",
            where=path,
            hint=HINT,
        )
