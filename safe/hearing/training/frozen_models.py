"""The frozen models of a run, as `safe prepare-base` recorded them, opened and checked."""

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
    """A base and an audio encoder, frozen, with the digests of their weights as opened."""

    vlm: Blip2ForConditionalGeneration
    processor: Blip2Processor
    audio_encoder: AudioEncoder
    vlm_ref: ModelRef
    audio_encoder_ref: ModelRef

    @property
    def digests(self) -> dict[str, str]:
        """For a measurement: weights by model."""
        return {"vlm": self.vlm_ref.digest, "audio_encoder": self.audio_encoder_ref.digest}

    def build(
        self, config: RunConfig, *, seed: int, on_bad_audio: OnBadAudio = "refuse"
    ) -> SafeModel:
        """A SafeModel with a fresh adapter."""
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
    """Set PyTorch's threads for the run's models, and say how many.

    Layers of a miniature are too small to share: a second thread gains nothing, and on a busy
    machine the two wait for each other at every operation (measured: minutes instead of seconds).
    """
    threads = 1 if config.scale == "miniature" else config.threads
    torch.set_num_threads(threads)
    return threads


def read_base(path: Path) -> dict[str, Any]:
    """`base.json` as a mapping.

    Raises:
        ModelError: missing, cut off, or without the models' places.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "no base was prepared", where=path, hint="run `safe prepare-base --config ...` first"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot be read: {error}", where=path, hint="delete it and prepare the base again"
        ) from None
    for name in ("vlm", "audio_encoder"):
        if not isinstance(values, dict) or not isinstance(values.get(name), str):
            raise ModelError(
                "does not say where the model lies",
                where=path,
                key=name,
                hint="delete it and prepare the base again",
            )
    return dict(values)


def open_base(config: RunConfig) -> OpenedBase:
    """Open the run's base and audio encoder on the run's device, frozen.

    Raises:
        ModelError: no base was prepared, or it cannot be opened, or its weights are not those
            that were prepared.
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
                f"the weights at {record[name]} have digest {digest}, prepared were {wanted}",
                where=path,
                key=f"digests.{name}",
                hint="delete base.json to prepare the base again; what was measured on the other "
                "one is then measured again",
            )
        refs[name] = ModelRef(
            id=record.get(f"{name}_id") or record[name],
            revision=(record.get("revisions") or {}).get(name),
            digest=digest,
        )
    return OpenedBase(vlm, processor, audio_encoder, refs["vlm"], refs["audio_encoder"])


def open_plain_vlm(config: RunConfig) -> Blip2ForConditionalGeneration:
    """The run's vision-language model once more, apart from any that SAFE was built on.

    Raises:
        ModelError: as `open_base`.
    """
    path = config.folder / "base.json"
    record = read_base(path)
    device = resolve_device(config.device)
    vlm, _ = load_vlm(record["vlm"], record.get("vlm_revision"), config.base.dtype, device=device)
    return vlm
