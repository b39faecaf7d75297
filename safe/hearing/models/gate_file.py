"""Save and load gates: policy, threshold, and the questions the threshold was chosen on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from safe.digest import digest_json
from safe.errors import ModelError
from safe.files import write_json
from safe.hearing.models.gating import POLICIES, UncertaintyGate

Digest = Field(pattern=r"^[0-9a-f]{64}$")


class _Closed(BaseModel):
    """Base model without unknown keys or type conversion (`"0.5"` is not a number); frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ChosenOn(_Closed):
    """Questions that a threshold was chosen on.

    Attributes:
        run, split: the run and its split.
        items: number of questions.
        digest: `items_digest` of run and question ids.
        table: Parquet file in the gate's folder that lists the questions.
        base: weight digest of the base whose uncertainty was used.
    """

    run: str
    split: Literal["train", "val", "test"]
    items: int = Field(gt=0)
    digest: str = Digest
    table: str = Field(pattern=r"^[A-Za-z0-9._-]+\.parquet$")
    base: str = Digest


class GateRecord(_Closed):
    """Content of a gate file."""

    schema_version: Literal[1] = 1
    kind: Literal["entropy", "max_probability", "margin"]
    threshold: FiniteFloat
    chosen_on: ChosenOn


def items_digest(run: str, ids: Iterable[str]) -> str:
    """Return the digest of a run's questions, independent of their order."""
    return digest_json([run, sorted(ids)])


def save_gate(path: Path, gate: UncertaintyGate, chosen_on: ChosenOn) -> Path:
    """Write a gate file atomically.

    Raises:
        SafeError: the disk is full or the folder is not writable.
    """
    record = GateRecord.model_validate(
        {"kind": gate.kind, "threshold": float(gate.threshold), "chosen_on": chosen_on}
    )
    write_json(path, record.model_dump(mode="json"))
    return path


def read_gate(path: Path) -> GateRecord:
    """Read a gate file.

    Raises:
        ModelError: the file is missing, is not JSON, or has wrong fields, types or values.
    """
    try:
        return GateRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "there is no gate",
            where=path,
            hint="run experiment 05, which writes one if a threshold qualifies",
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise ModelError(
            f"not a gate: {fault['msg']}",
            where=path,
            key=key or None,
            hint="measure experiment 05 again",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot be read: {error}",
            where=path,
            hint="restore it, or measure experiment 05 again",
        ) from None


def load_gate(path: Path, *, base: str | None = None) -> UncertaintyGate:
    """Load the policy of a gate file, to pass to `SafeModel` as `gate`.

    Args:
        base: weight digest of the base to use it with. A threshold is valid only for the base that
            it was chosen on.

    Raises:
        ModelError: the file cannot be used, or was made for another base.
    """
    record = read_gate(path)
    if base is not None and base != record.chosen_on.base:
        raise ModelError(
            f"the gate was chosen on a base with weight digest {record.chosen_on.base}, but this "
            f"base has {base}",
            where=path,
            key="chosen_on.base",
            hint="choose a threshold for this base with experiment 05",
        )
    return POLICIES[record.kind](threshold=record.threshold)  # type: ignore[call-arg]
