"""Image tokens and audio features of samples, computed once by the frozen models and stored.

A sample without an image gets a plain grey one, as BLIP-2 requires an image. Audio that cannot be
used is reported by sample, never stored as zeros.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from safe.digest import digest_code, digest_json
from safe.errors import MediaError
from safe.hearing.data.decode import load_audio, load_image
from safe.hearing.data.feature_store import Array, FeatureStore, media_digest
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.models.audio import waveform_fault
from safe.hearing.models.fusion import image_tokens
from safe.hearing.models.projector import InputKind
from safe.hearing.training.frozen_models import OpenedBase

Encode = Callable[[Sequence[str], dict[str, Sample], dict[str, str]], Iterator[tuple[str, Array]]]
BATCH = 64
GREY = (127, 127, 127)
PIXEL_BYTES = 2**28  # size of the cache of processed images


def picture(sample: Sample) -> Image.Image:
    """Return the sample's image as RGB, or a plain grey one if it has none.

    Raises:
        MediaError: the file cannot be decoded.
    """
    return Image.new("RGB", (64, 64), GREY) if sample.image is None else load_image(sample.image)


class Features:
    """Image tokens and audio features of samples, read from the store or computed.

    Args:
        opened: the frozen models.
        cache: the run's cache folder; the stores are in `cache/features`.
        audio_kind: input of the projector: one embedding or a sequence.

    Attributes:
        faults: sample id -> why its image or audio cannot be used.
        computed: kind -> number of entries computed by this object.
    """

    def __init__(self, opened: OpenedBase, cache: Path, audio_kind: InputKind = "embedding"):
        self.opened, self.audio_kind = opened, audio_kind
        self.faults: dict[str, str] = {}
        self.computed = {"image": 0, "audio": 0}
        self._keys: dict[tuple[str, str], str] = {}
        self._pixels: OrderedDict[str, Tensor] = OrderedDict()  # least recently used first
        config, audio_encoder = opened.vlm.config, opened.audio_encoder
        libraries = [transformers.__version__, torch.__version__]
        code = digest_code(__name__)  # includes decoding and the models
        self._image_space = digest_json(
            [
                "image tokens",
                opened.vlm_ref.digest,
                str(opened.vlm.language_model.dtype),
                opened.processor.image_processor.to_dict(),
                code,
                *libraries,
            ]
        )
        self._audio_space = digest_json(
            [
                audio_kind,
                opened.audio_encoder_ref.digest,
                audio_encoder.feature_extractor.to_dict(),
                code,
                *libraries,
            ]
        )
        root = cache / "features"
        width = opened.vlm.get_input_embeddings().embedding_dim
        self.images = FeatureStore(
            root / f"image-{self._image_space[:16]}", (config.num_query_tokens, width)
        )
        shape: tuple[int, ...] = (audio_encoder.embedding_dim,)
        if audio_kind == "sequence":
            probe = np.sin(np.arange(audio_encoder.sampling_rate, dtype=np.float32))
            shape = tuple(audio_encoder.sequence([probe]).shape[1:])
        self.sounds = FeatureStore(root / f"{audio_kind}-{self._audio_space[:16]}", shape)

    # -- keys ----------------------------------------------------------------------------------

    def _key(self, kind: str, ref: MediaRef | None) -> str:
        space = self._image_space if kind == "image" else self._audio_space
        return digest_json([space, "grey" if ref is None else media_digest(ref)])

    def _remember(self, samples: Iterable[Sample], kind: str) -> dict[str, Sample]:
        """Return key -> one sample with it; samples whose file cannot be read become faults."""
        found: dict[str, Sample] = {}
        keys: dict[MediaRef | None, str] = {}  # many questions share an image or sound
        for sample in samples:
            ref = sample.image if kind == "image" else sample.audio
            if kind == "audio" and ref is None:
                self.faults[sample.id] = "no audio"
                continue
            try:
                key = keys[ref] if ref in keys else keys.setdefault(ref, self._key(kind, ref))
            except MediaError as error:
                self.faults[sample.id] = error.what
                continue
            self._keys[kind, sample.id] = key
            found.setdefault(key, sample)
        return found

    # -- encoding ------------------------------------------------------------------------------

    def ensure(self, seen: Sequence[Sample], heard: Sequence[Sample]) -> None:
        """Compute the features that are not in the stores.

        Args:
            seen: samples whose image tokens are needed.
            heard: samples whose audio features are needed.
        """
        self._ensure("image", seen, self.images, self._see)
        self._ensure("audio", heard, self.sounds, self._hear)

    def _ensure(
        self, kind: str, samples: Sequence[Sample], store: FeatureStore, encode: Encode
    ) -> None:
        by_key = self._remember(samples, kind)
        bad: dict[str, str] = {}
        self.computed[kind] += store.ensure(
            list(by_key), lambda missing: encode(missing, by_key, bad)
        )
        for sample in samples:
            key = self._keys.get((kind, sample.id))
            if key in bad:
                self.faults[sample.id] = bad[key]

    def _see(
        self, keys: Sequence[str], by_key: dict[str, Sample], bad: dict[str, str]
    ) -> Iterator[tuple[str, Array]]:
        def decoded() -> Iterator[tuple[str, Image.Image]]:
            for key in tqdm(keys, "image features", unit="image"):
                try:
                    yield key, picture(by_key[key])
                except MediaError as error:
                    bad[key] = error.what

        vlm = self.opened.vlm
        for chunk in _chunks(decoded()):
            pixels = self.opened.processor.image_processor(
                [image for _, image in chunk], return_tensors="pt"
            )["pixel_values"]
            with torch.inference_mode():
                tokens = image_tokens(vlm, pixels.to(vlm.device))
            values = tokens.float().cpu().numpy()
            yield from zip([key for key, _ in chunk], values, strict=True)

    def _hear(
        self, keys: Sequence[str], by_key: dict[str, Sample], bad: dict[str, str]
    ) -> Iterator[tuple[str, Array]]:
        audio_encoder = self.opened.audio_encoder

        def decoded() -> Iterator[tuple[str, np.ndarray]]:
            for key in tqdm(keys, "audio features", unit="clip"):
                ref = by_key[key].audio
                assert ref is not None
                try:
                    wave = load_audio(ref, audio_encoder.sampling_rate)
                except MediaError as error:
                    bad[key] = error.what
                    continue
                fault = waveform_fault(wave)
                if fault is None:
                    yield key, wave
                else:
                    bad[key] = fault

        encode = audio_encoder.embed if self.audio_kind == "embedding" else audio_encoder.sequence
        for chunk in _chunks(decoded()):
            values = encode([wave for _, wave in chunk]).float().cpu().numpy()
            yield from zip([key for key, _ in chunk], values, strict=True)

    def image_key(self, sample: Sample) -> str:
        """Return the key of the sample's image tokens: base, preprocessing and image."""
        return self._key("image", sample.image)

    # -- reading -------------------------------------------------------------------------------

    def usable(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return the samples without a fault."""
        return [s for s in samples if s.id not in self.faults]

    def image(self, samples: Sequence[Sample]) -> Tensor:
        """Return image tokens (B, q, d), float32; call `ensure` with the samples first."""
        return self._stack(self.images, "image", samples)

    def audio(self, samples: Sequence[Sample]) -> Tensor:
        """Return (B, E) or (B, S, C), float32; call `ensure` with the samples first."""
        return self._stack(self.sounds, "audio", samples)

    def pixels(self, samples: Sequence[Sample]) -> Tensor:
        """Return (B, channels, height, width), the output of the base's image processor.

        The most recently used `PIXEL_BYTES` are cached, as many questions share an image.

        Raises:
            MediaError: a file cannot be decoded.
        """
        keys = [self.image_key(sample) for sample in samples]
        missing = {k: s for k, s in zip(keys, samples, strict=True) if k not in self._pixels}
        if missing:
            made = self.opened.processor.image_processor(
                [picture(sample) for sample in missing.values()], return_tensors="pt"
            )["pixel_values"]
            self._pixels.update({k: one.clone() for k, one in zip(missing, made, strict=True)})
        for key in keys:
            self._pixels.move_to_end(key)
        found = torch.stack([self._pixels[key] for key in keys])
        room = max(len(samples), PIXEL_BYTES // max(1, found[0].nbytes))
        while len(self._pixels) > room:
            self._pixels.popitem(last=False)
        return found

    def _stack(self, store: FeatureStore, kind: str, samples: Sequence[Sample]) -> Tensor:
        values = []
        for sample in samples:
            value = store.read(self._keys[kind, sample.id])
            if value is None:
                raise MediaError(
                    self.faults.get(sample.id, "its feature was removed from the store"),
                    where=sample.id,
                    hint="run again to compute missing features",
                )
            values.append(value)
        return torch.from_numpy(np.stack(values))


T = TypeVar("T")


def _chunks(items: Iterator[T], size: int = BATCH) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk
