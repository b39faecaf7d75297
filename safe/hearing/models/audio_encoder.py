"""The audio encoder: CLAP's audio tower, its projection and its feature extractor, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from safe.errors import ModelError
from safe.hearing.models.base import (
    check_model_type,
    open_pretrained,
    refuse_incomplete,
    resolve_device,
)

KIND, KEY = "a CLAP model", "base.audio_encoder"


class AudioEncoder:
    """Waveforms in, CLAP embeddings or feature sequences out. Nothing in it is trainable.

    Attributes:
        model: the whole `ClapModel`; its text tower serves zero-shot classification.
        feature_extractor: log-mel spectrograms as the checkpoint was trained on.
        sampling_rate: Hz that every waveform must have.
        embedding_dim: width D of `embed`.
        sequence_dim: width C of `sequence`.
        max_samples: a longer waveform is cut there (see `features`).
    """

    def __init__(
        self, model: ClapModel, feature_extractor: ClapFeatureExtractor, source: str
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.feature_extractor = feature_extractor
        self.source = source
        self.sampling_rate = int(feature_extractor.sampling_rate)
        self.embedding_dim = int(model.config.projection_dim)
        self.sequence_dim = int(model.config.audio_config.hidden_size)
        self.max_samples = int(feature_extractor.nb_max_samples)

    @property
    def device(self) -> torch.device:
        return self.model.logit_scale_a.device

    def features(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        """Log-mel spectrograms, (B, channels, frames, mels), on the CPU.

        A waveform longer than the model's window keeps its beginning: CLAP's own extractor takes
        a random part of it, and one sound would then have many embeddings.

        Raises:
            ModelError: a waveform is empty, not one-dimensional, or holds NaN or infinity.
        """
        cut = []
        for index, waveform in enumerate(waveforms):
            wave = np.asarray(waveform, dtype=np.float32)
            if wave.ndim != 1 or wave.size == 0 or not np.isfinite(wave).all():
                raise ModelError(
                    f"waveform {index} of the batch has shape {wave.shape}"
                    + (
                        ""
                        if wave.size == 0 or wave.ndim != 1
                        else " and values that are not finite"
                    ),
                    hint="pass mono float samples, at least one; run `safe audit` to find the file",
                )
            cut.append(wave[: self.max_samples])
        batch = self.feature_extractor(cut, sampling_rate=self.sampling_rate, return_tensors="pt")
        return batch["input_features"].float()

    @torch.inference_mode()
    def embed(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        """CLAP's audio embeddings, (B, D), of unit length.

        Args:
            waveforms: B mono arrays at `sampling_rate`, amplitudes in [-1, 1].
        """
        return self._audio(waveforms).pooler_output

    @torch.inference_mode()
    def sequence(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        """The audio tower's last feature map as a sequence, (B, T, C).

        Its T positions run over time within each frequency band, bands one after another.
        """
        maps: Tensor = self._audio(waveforms).last_hidden_state  # (B, C, bands, steps)
        return maps.flatten(2).transpose(1, 2).contiguous()

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """CLAP's text embeddings, (B, D), of unit length.

        Raises:
            ModelError: the checkpoint has no tokenizer (a LAION `.pt` file brings none).
        """
        tokenizer = open_pretrained(AutoTokenizer, self.source, kind="CLAP's tokenizer", key=KEY)
        batch = tokenizer(list(texts), padding=True, return_tensors="pt").to(self.device)
        return self.model.get_text_features(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).pooler_output

    def _audio(self, waveforms: Sequence[np.ndarray]):  # type: ignore[no-untyped-def]
        features = self.features(waveforms).to(self.device)
        # The extractor marks one row at random as long when none is; nothing longer gets here.
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=self.device)
        return self.model.get_audio_features(input_features=features, is_longer=longer)


def load_audio_encoder(
    path_or_id: str | Path, revision: str | None = None, device: str | torch.device = "cpu"
) -> AudioEncoder:
    """Open a CLAP model and freeze it; always float32, as CLAP's batch norm wants.

    Args:
        path_or_id: folder written by `save_pretrained`, or a hub id.
        revision: hub branch, tag or commit.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a torch device.

    Raises:
        ModelError: no such folder or id, damaged or incomplete weights, another architecture.
    """
    source = str(path_or_id)
    check_model_type(source, revision, "clap", kind=KIND, key=KEY)
    model, info = open_pretrained(
        ClapModel,
        source,
        kind=KIND,
        key=KEY,
        revision=revision,
        dtype=torch.float32,
        output_loading_info=True,
    )
    refuse_incomplete(info, source, kind=KIND, key=KEY)
    extractor = open_pretrained(ClapFeatureExtractor, source, kind=KIND, key=KEY, revision=revision)
    target = resolve_device(device) if isinstance(device, str) else device
    return AudioEncoder(model.to(target), extractor, source)
