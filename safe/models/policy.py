"""A learned gate: a linear policy over what is known before listening, kept in one small file.

Its features are what one forward of the base shows (image tokens and question, each as a mean, and
the entropy, largest probability and margin of the answer) and, where that earns its time, a glance
at the sound. It has a preference for each action, to skip or to hear so many audio tokens; the
largest is taken, of equals the one that listens least.

Shape legend: B rows, F features, A actions, d width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from safe.errors import ModelError
from safe.files import atomic
from safe.models.gating import POLICIES, GateRequest, Look, probabilities
from safe.models.preview import NAMES

MEND = "measure experiment 12 again"
TENSORS = ("mean", "scale", "weight", "bias")


def features_of(look: Look, preview_B4: Tensor | None = None) -> Tensor:
    """(B, F) float64 on the CPU: the policy's state."""
    likely = probabilities(look.logits)
    parts = [
        look.image.double().mean(dim=1).cpu(),
        look.question.double().cpu(),
        torch.stack([policy.of(likely) for policy in POLICIES.values()], dim=1),
    ]
    return torch.cat(parts if preview_B4 is None else [*parts, preview_B4.double()], dim=1)


def feature_names(width: int, *, glances: bool = True) -> list[str]:
    """What `features_of` gives, in its order; `width` is d."""
    seen = [f"{kind} {i}" for kind in ("image", "question") for i in range(width)]
    return [*seen, *POLICIES, *(NAMES if glances else ())]


class PolicyRecord(BaseModel):
    """What stands beside the weights.

    Attributes:
        actions: audio tokens of each action; the first is 0, to skip.
        features: names of what it looks at; it glances at sounds where theirs are among them.
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

    @property
    def glances(self) -> bool:
        """It looks at the sound before it decides whether to listen."""
        return self.record.features[-1] == NAMES[-1]

    def preferences(self, features_BF: Tensor) -> Tensor:
        """(B, A)."""
        if features_BF.shape[1] != len(self.mean):
            raise ModelError(
                f"the policy knows {len(self.mean)} features and is given {features_BF.shape[1]}",
                mend="use it with the base that it was trained with",
            )
        return ((features_BF.double() - self.mean) / self.scale) @ self.weight.T + self.bias

    def decide(self, request: GateRequest) -> Tensor:
        """(B,) int64: audio tokens that each row hears.

        Raises:
            ModelError: it glances, and rows come without waveforms.
        """
        preview = request.preview() if self.glances else None
        preferred = self.preferences(features_of(request.look(), preview)).argmax(dim=1)
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
            "there is no policy", where=path, mend="experiment 12 writes one"
        ) from None
    except ValidationError as error:
        raise ModelError(
            f"not a policy: {error.errors()[0]['msg']}", where=path, mend=MEND
        ) from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot be read: {error}", where=path, mend=MEND) from None
    _check_shapes(record, tensors, path)
    for what, wanted, found in (("base", record.base, base), ("adapter", record.adapter, adapter)):
        if found is not None and found != wanted:
            raise ModelError(
                f"the policy was trained with the {what} of digest {wanted}, the one given has "
                f"{found}",
                where=path,
                key=what,
                mend=f"train a policy for this {what}: experiment 12",
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
            mend=MEND,
        )
