"""Load and check the frozen models that `safe prepare-base` recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from safe.errors import ModelError
from safe.hearing.config import RunConfig
from safe.hearing.models.audio_encoder import AudioEncoder, load_audio_encoder
from safe.hearing.models.base import load_vlm, resolve_device
from safe.hearing.models.checkpoint import ModelRef, load_adapter, save_adapter
from safe.hearing.models.safe_model import OnBadAudio, SafeModel
from safe.hearing.models.weights import weight_digest


@dataclass(frozen=True)
class OpenedBase:
    """A frozen base and audio encoder, with digests of the loaded weights."""

    vlm: Blip2ForConditionalGeneration
    processor: Blip2Processor
    audio_encoder: AudioEncoder
    vlm_ref: ModelRef
    audio_encoder_ref: ModelRef

    @property
    def digests(self) -> dict[str, str]:
        """Weight digests by model, for a measurement."""
        return {"vlm": self.vlm_ref.digest, "audio_encoder": self.audio_encoder_ref.digest}

    def build(
        self, config: RunConfig, *, seed: int, on_bad_audio: OnBadAudio = "refuse"
    ) -> SafeModel:
        """Build a SafeModel with a new adapter."""
        return SafeModel(
            self.vlm, self.audio_encoder, config.adapter, seed=seed, on_bad_audio=on_bad_audio
        )

    def load(self, adapter: Path) -> SafeModel:
        """Load a saved adapter on these models.

        Raises:
            ModelError: it was trained on other weights, or cannot be read.
        """
        refs = {"base": self.vlm_ref.digest, "audio_encoder": self.audio_encoder_ref.digest}
        return load_adapter(adapter, self.vlm, self.audio_encoder, digests=refs)

    def save(self, model: SafeModel, adapter: Path) -> None:
        """Save the adapter of a model that was built on these models."""
        save_adapter(model, adapter, base=self.vlm_ref, audio_encoder=self.audio_encoder_ref)


def use_threads(config: RunConfig) -> int:
    """Set PyTorch's number of threads for the run's models, and return it.

    A miniature uses one thread. Its layers are too small to parallelise, and on a busy machine two
    threads wait for each other at every operation (measured: minutes instead of seconds).
    """
    threads = 1 if config.scale == "miniature" else config.threads
    torch.set_num_threads(threads)
    return threads


def read_base(path: Path) -> dict[str, Any]:
    """Read `base.json`.

    Raises:
        ModelError: the file is missing or damaged, or does not name the models' folders.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "there is no prepared base", where=path, hint="run `safe prepare-base --config ...`"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot be read: {error}", where=path, hint="delete it and prepare the base again"
        ) from None
    for name in ("vlm", "audio_encoder"):
        if not isinstance(values, dict) or not isinstance(values.get(name), str):
            raise ModelError(
                "does not name the model's folder",
                where=path,
                key=name,
                hint="delete it and prepare the base again",
            )
    return dict(values)


def open_base(config: RunConfig) -> OpenedBase:
    """Load the run's base and audio encoder on the run's device, frozen.

    Raises:
        ModelError: there is no prepared base, it cannot be loaded, or its weights were changed.
    """
    path = config.folder / "base.json"
    record = read_base(path)
    device = resolve_device(config.device)
    vlm, processor = load_vlm(
        record["vlm"], record.get("vlm_revision"), config.base.dtype, device=device
    )
    audio_encoder = load_audio_encoder(
        record["audio_encoder"], record.get("audio_encoder_revision"), device=device
    )
    refs = {}
    for name, model in (("vlm", vlm), ("audio_encoder", audio_encoder.model)):
        digest = weight_digest(model)
        wanted = (record.get("digests") or {}).get(name)
        if wanted is not None and wanted != digest:
            raise ModelError(
                f"the weights at {record[name]} have digest {digest}, the prepared ones {wanted}",
                where=path,
                key=f"digests.{name}",
                hint="delete base.json to prepare the base again; this repeats its measurements",
            )
        refs[name] = ModelRef(
            id=record.get(f"{name}_id") or record[name],
            revision=(record.get("revisions") or {}).get(name),
            digest=digest,
        )
    return OpenedBase(vlm, processor, audio_encoder, refs["vlm"], refs["audio_encoder"])


def open_plain_vlm(config: RunConfig) -> Blip2ForConditionalGeneration:
    """Load a separate copy of the run's vision-language model, not shared with SAFE.

    Raises:
        ModelError: there is no prepared base, or it cannot be loaded.
    """
    path = config.folder / "base.json"
    record = read_base(path)
    device = resolve_device(config.device)
    vlm, _ = load_vlm(record["vlm"], record.get("vlm_revision"), config.base.dtype, device=device)
    return vlm
