"""Save and load adapters: LoRA in PEFT's format, the projector, and references to the base.

FOLDER/lora/adapter_config.json, adapter_model.safetensors   can be loaded with `peft` alone
FOLDER/projector.safetensors
FOLDER/safe.json                   base and audio encoder: id, revision, digest
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import Blip2ForConditionalGeneration

from safe.digest import digest_file
from safe.errors import ModelError
from safe.files import atomic, write_json
from safe.hearing.config import AdapterConfig, Strict
from safe.hearing.models.audio_encoder import AudioEncoder
from safe.hearing.models.safe_model import OnBadAudio, SafeModel
from safe.hearing.models.weights import weight_digest

LORA, PROJECTOR, RECORD = "lora", "projector.safetensors", "safe.json"
LORA_WEIGHTS = f"{LORA}/adapter_model.safetensors"


class ModelRef(Strict):
    """Reference to a frozen model that an adapter was trained on."""

    id: str
    revision: str | None = None
    digest: str  # safe.hearing.models.weights.weight_digest


class AdapterRecord(Strict):
    """Content of `safe.json`."""

    schema_version: int = 1
    base: ModelRef
    audio_encoder: ModelRef
    adapter: AdapterConfig
    files: dict[str, str]  # relative path -> SHA-256


def refs_of(
    model: SafeModel,
    *,
    base_id: str,
    audio_encoder_id: str,
    base_revision: str | None = None,
    audio_encoder_revision: str | None = None,
) -> tuple[ModelRef, ModelRef]:
    """Return references to base and audio encoder with digests of their current weights."""
    return (
        ModelRef(id=base_id, revision=base_revision, digest=weight_digest(model.base)),
        ModelRef(
            id=audio_encoder_id,
            revision=audio_encoder_revision,
            digest=weight_digest(model.audio_encoder_model),
        ),
    )


def save_adapter(
    model: SafeModel, folder: Path, *, base: ModelRef, audio_encoder: ModelRef
) -> Path:
    """Write the adapter atomically; an existing adapter at `folder` is replaced.

    Raises:
        SafeError: the disk is full or the folder is not writable.
    """
    with atomic(folder) as temporary:
        try:
            temporary.mkdir()
            model.adapted.peft_config["default"].base_model_name_or_path = base.id
            model.adapted.save_pretrained(temporary / LORA, save_embedding_layers=False)
            weights = {n: t.detach().cpu() for n, t in model.projector.state_dict().items()}
            save_file({n: t.contiguous() for n, t in weights.items()}, temporary / PROJECTOR)
            record = AdapterRecord(
                base=base,
                audio_encoder=audio_encoder,
                adapter=model.config,
                files={n: digest_file(temporary / n) for n in (LORA_WEIGHTS, PROJECTOR)},
            )
            write_json(temporary / RECORD, record.model_dump(mode="json"))
            if folder.exists():
                shutil.rmtree(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return folder


def read_record(folder: Path) -> AdapterRecord:
    """Read `safe.json` of an adapter folder.

    Raises:
        ModelError: the file is missing, is not JSON, or has wrong fields.
    """
    path = folder / RECORD
    try:
        return AdapterRecord.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError("there is no adapter", where=path, hint="check the path") from None
    except (OSError, ValueError, ValidationError) as error:
        raise ModelError(
            f"the adapter's record cannot be read: {error}", where=path, hint="save it again"
        ) from None


def _check_frozen(kind: str, wanted: ModelRef, found: str, where: Path) -> None:
    if found != wanted.digest:
        raise ModelError(
            f"the adapter was trained on the {kind} {wanted.id!r} with weight digest "
            f"{wanted.digest}, but this one has {found}",
            where=where,
            key=f"{kind}.digest",
            hint=f"load {wanted.id!r}"
            + (f" at revision {wanted.revision!r}" if wanted.revision else "")
            + ", or train a new adapter on this one",
        )


def _read_tensors(folder: Path, name: str, digest: str | None) -> dict[str, torch.Tensor]:
    path = folder / name
    try:
        if digest_file(path) != digest:
            raise ModelError(
                "the file was changed after it was saved: its digest differs",
                where=path,
                hint="restore the folder from its source, or train again",
            )
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot be read: {error}", where=path, hint="restore the folder, or train again"
        ) from None


def load_adapter(
    folder: Path,
    base: Blip2ForConditionalGeneration,
    audio_encoder: AudioEncoder,
    *,
    on_bad_audio: OnBadAudio = "refuse",
    digests: Mapping[str, str] | None = None,
) -> SafeModel:
    """Load an adapter on the base and audio encoder it was trained with.

    Args:
        digests: `{"base": ..., "audio_encoder": ...}` if already known. By default they are
            computed, which takes some seconds for a base with billions of weights.

    Raises:
        ModelError: the base or audio encoder has another digest, or files are damaged or missing.
    """
    record = read_record(folder)
    known: Mapping[str, Any] = digests or {}
    where = folder / RECORD
    _check_frozen("base", record.base, known.get("base") or weight_digest(base), where)
    _check_frozen(
        "audio_encoder",
        record.audio_encoder,
        known.get("audio_encoder") or weight_digest(audio_encoder.model),
        where,
    )
    lora = _read_tensors(folder, LORA_WEIGHTS, record.files.get(LORA_WEIGHTS))
    projector = _read_tensors(folder, PROJECTOR, record.files.get(PROJECTOR))
    model = SafeModel(base, audio_encoder, record.adapter, on_bad_audio=on_bad_audio)
    try:
        if set(lora) != set(get_peft_model_state_dict(model.adapted)):
            raise RuntimeError("the LoRA layers differ from the record")
        set_peft_model_state_dict(model.adapted, lora)
        model.projector.load_state_dict(projector)
    except RuntimeError as error:
        raise ModelError(
            f"the weights do not fit the record: {error}", where=folder, hint="save it again"
        ) from None
    return model
