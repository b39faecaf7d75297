"""CLAP's log-mel spectrograms, batched for training; equal to those of its feature extractor."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import ClapFeatureExtractor

FLOOR = 1e-10  # minimum power in transformers' `spectrogram` (-100 dB)


class BatchMel:
    """`ClapFeatureExtractor(truncation="rand_trunc")` without its loop over frames.

    The extractor takes 3 to 7 ms per clip, more than a training step.
    """

    def __init__(self, extractor: ClapFeatureExtractor) -> None:
        self.size, self.hop = int(extractor.fft_window_size), int(extractor.hop_length)
        self.samples = int(extractor.nb_max_samples)
        self.window = torch.hann_window(self.size, periodic=True)
        self.filters = torch.as_tensor(extractor.mel_filters_slaney, dtype=torch.float32)

    def __call__(self, waves: Tensor) -> Tensor:
        """Convert (B, samples) at the extractor's rate to (B, 1, frames, mels) in dB."""
        spectrum = torch.stft(
            waves,
            self.size,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.abs().square().transpose(1, 2) @ self.filters
        return (10 * torch.log10(power.clamp_min(FLOOR))).unsqueeze(1)


def jitter_spectrograms(
    decibels: Tensor,
    generator: torch.Generator,
    *,
    gain: float = 6.0,
    shift: int = 6,
    noise: float = 1.0,
) -> Tensor:
    """Apply a random gain, time shift and noise to each spectrogram.

    Args:
        decibels: (B, 1, frames, mels).
        gain: maximum change of the level in dB.
        shift: maximum shift in frames; new frames repeat the edge.
        noise: standard deviation of the noise in dB.
    """
    batch, _, frames, _ = decibels.shape

    def draw() -> Tensor:
        return torch.rand(batch, 1, generator=generator) * 2 - 1

    steps = (draw() * shift).round().long()
    at = (torch.arange(frames) + steps).clamp(0, frames - 1)
    moved = decibels.gather(2, at[:, None, :, None].expand_as(decibels))
    rest = torch.randn(decibels.shape, generator=generator) * noise
    return moved + draw()[:, :, None, None] * gain + rest
