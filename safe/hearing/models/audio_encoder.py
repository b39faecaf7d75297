"""The audio encoder: CLAP's audio tower, its projection and its feature extractor, frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, ClapAudioConfig, ClapFeatureExtractor, ClapModel

from safe.errors import ModelError
from safe.hearing.models.base import (
    check_model_type,
    open_pretrained,
    refuse_incomplete,
    resolve_device,
)

KIND, KEY = "a CLAP model", "base.audio_encoder"


class AudioEncoder:
    """Frozen CLAP model that maps waveforms to embeddings or feature sequences.

    Attributes:
        model: the complete `ClapModel`; its text tower is used for zero-shot classification.
        feature_extractor: computes log-mel spectrograms as in the checkpoint's training.
        sampling_rate: required sampling rate of waveforms, in Hz.
        embedding_dim: width D of `embed`.
        sequence_dim: width C of `sequence`.
        max_samples: longer waveforms are truncated (see `features`).
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
        """Compute log-mel spectrograms, (B, channels, frames, mels), on the CPU.

        A waveform longer than the model's window is truncated at the end. CLAP's own extractor
        takes a random crop, which gives a different embedding on every call.

        Raises:
            ModelError: a waveform is empty, not one-dimensional, or contains NaN or infinity.
        """
        cut = []
        for index, waveform in enumerate(waveforms):
            wave = np.asarray(waveform, dtype=np.float32)
            if wave.ndim != 1 or wave.size == 0 or not np.isfinite(wave).all():
                raise ModelError(
                    f"waveform {index} of the batch has shape {wave.shape}"
                    + ("" if wave.size == 0 or wave.ndim != 1 else " and contains NaN or infinity"),
                    hint="pass non-empty mono float waveforms; find the file with `safe audit`",
                )
            cut.append(wave[: self.max_samples])
        batch = self.feature_extractor(cut, sampling_rate=self.sampling_rate, return_tensors="pt")
        return batch["input_features"].float()

    @torch.inference_mode()
    def embed(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        """Compute CLAP audio embeddings, (B, D), of unit length.

        Args:
            waveforms: B mono arrays at `sampling_rate`, amplitudes in [-1, 1].
        """
        return self._audio(waveforms).pooler_output

    @torch.inference_mode()
    def sequence(self, waveforms: Sequence[np.ndarray]) -> Tensor:
        """Return the audio tower's last feature map as a sequence, (B, T, C).

        The T positions are ordered by frequency band, then by time.
        """
        maps: Tensor = self._audio(waveforms).last_hidden_state  # (B, C, bands, steps)
        return maps.flatten(2).transpose(1, 2).contiguous()

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Compute CLAP text embeddings, (B, D), of unit length.

        Raises:
            ModelError: the checkpoint has no tokenizer (a LAION `.pt` file contains none).
        """
        tokenizer = open_pretrained(AutoTokenizer, self.source, kind="CLAP's tokenizer", key=KEY)
        batch = tokenizer(list(texts), padding=True, return_tensors="pt").to(self.device)
        return self.model.get_text_features(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).pooler_output

    def _audio(self, waveforms: Sequence[np.ndarray]):  # type: ignore[no-untyped-def]
        features = self.features(waveforms).to(self.device)
        # The extractor marks a random waveform as longer if none is. All are truncated here.
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=self.device)
        return self.model.get_audio_features(input_features=features, is_longer=longer)


def load_audio_encoder(
    path_or_id: str | Path, revision: str | None = None, device: str | torch.device = "cpu"
) -> AudioEncoder:
    """Load a CLAP model in float32, which CLAP's batch norm needs, and freeze it.

    Args:
        path_or_id: folder written by `save_pretrained`, or a hub id.
        revision: hub branch, tag or commit.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a torch device.

    Raises:
        ModelError: the folder or id does not exist, weights are damaged or incomplete, or the
            architecture is not CLAP, or the feature extractor belongs to another model.
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
    _check_extractor(extractor, model.config.audio_config, source)
    target = resolve_device(device) if isinstance(device, str) else device
    return AudioEncoder(model.to(target), extractor, source)


def _check_extractor(extractor: ClapFeatureExtractor, audio: ClapAudioConfig, source: str) -> None:
    """Refuse a feature extractor whose output the audio tower cannot take.

    Raises:
        ModelError: names the field of preprocessor_config.json that differs.
    """
    fused = bool(audio.enable_fusion)
    # Fusion stacks four spectrograms; the tower without it takes one.
    wanted = "`fusion`" if fused else "`rand_trunc` (anything but fusion)"
    steps = int(extractor.nb_max_samples) // int(extractor.hop_length) + 1
    most = audio.spec_size * (audio.spec_size // audio.num_mel_bins)
    for field, found, fits, needed in (
        ("truncation", extractor.truncation, (extractor.truncation == "fusion") == fused, wanted),
        (
            "feature_size",
            extractor.feature_size,
            extractor.feature_size == audio.num_mel_bins,
            f"{audio.num_mel_bins}, the model's num_mel_bins",
        ),
        ("max_length_s", f"{steps} spectra", steps <= most, f"at most {most} spectra"),
    ):
        if not fits:
            raise ModelError(
                f"the feature extractor does not fit the model: `{field}` is {found}, the model"
                f" (enable_fusion: {str(fused).lower()}) needs {needed}",
                where=f"{source}, preprocessor_config.json",
                key=field,
                hint="use the preprocessor_config.json of the same checkpoint",
            )
