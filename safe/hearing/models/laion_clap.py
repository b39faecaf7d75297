"""Convert LAION's CLAP checkpoints (`.pt`) to transformers' `ClapModel`.

Both implement the same network (HTS-AT and RoBERTa) with different parameter names and a fused
query-key-value matrix. The config is inferred from the weights. Keys in `UNUSED` are dropped and
all others renamed; an unknown key is an error.
"""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
)

from safe.digest import digest_file
from safe.errors import ModelError

# Parameters of LAION's model that the embeddings do not depend on.
UNUSED = re.compile(
    r"(text_transform|audio_transform)\.|logit_scale_.*_mlp$|attn_mask$"
    r"|audio_branch\.(spectrogram_extractor|logmel_extractor|spec_augmenter|tscam_conv|head)\."
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask$"
)
PARTS = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^(text|audio)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(text|audio)_projection\.2\.", r"\1_projection.linear2."),
)
AUDIO = (
    (r"\.bn0\.", ".batch_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
BLOCK = re.compile(r"audio_branch\.layers\.(\d+)\.blocks\.(\d+)\.")
TEXT_LAYER = re.compile(r"text_branch\.encoder\.layer\.(\d+)\.")
HEAD_WIDTH = 64  # of RoBERTa, in every size
# transformers rebuilds these from the config; a file may or may not contain them.
DERIVED = ("position_ids", "token_type_ids", "relative_position_index", "num_batches_tracked")


def renamed(key: str) -> str:
    """Return transformers' name of LAION's parameter `key`; `qkv` is not split yet."""
    for pattern, name in PARTS:
        key = re.sub(pattern, name, key)
    if key.startswith("audio_model."):
        for pattern, name in AUDIO:
            key = re.sub(pattern, name, key)
    return key


def rename_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a LAION state dict to transformers' names and split each fused `qkv`."""
    result: dict[str, Tensor] = {}
    for key, value in weights.items():
        if UNUSED.match(key):
            continue
        name = renamed(key)
        if ".attention.self.qkv." in name:
            for part, block in zip(("query", "key", "value"), value.chunk(3), strict=True):
                result[name.replace(".qkv.", f".{part}.")] = block.clone()
        else:
            result[name] = value
    return result


def infer_config(weights: Mapping[str, Tensor]) -> ClapConfig:
    """Infer the config from the shapes of LAION's weights.

    Raises:
        ModelError: the audio tower is not HTS-AT, or the text tower is not RoBERTa.
    """
    needed = (
        "audio_branch.patch_embed.proj.weight",
        "audio_branch.bn0.weight",
        "audio_projection.2.weight",
        "text_branch.embeddings.word_embeddings.weight",
        "text_branch.embeddings.position_embeddings.weight",
        "text_branch.encoder.layer.0.intermediate.dense.weight",
    )
    missing = [key for key in needed if key not in weights]
    if missing:
        raise ModelError(
            f"is not a CLAP with HTS-AT and RoBERTa: {missing[0]} is missing",
            hint="use one of LAION's HTSAT checkpoints, or a transformers folder",
        )
    blocks = {(int(m[1]), int(m[2])) for m in map(BLOCK.match, weights) if m}
    stages = 1 + max(stage for stage, _ in blocks)
    tables = [
        weights[f"audio_branch.layers.{s}.blocks.0.attn.relative_position_bias_table"]
        for s in range(stages)
    ]
    patch = weights["audio_branch.patch_embed.proj.weight"]
    fused = "audio_branch.patch_embed.mel_conv2d.weight" in weights
    words = weights["text_branch.embeddings.word_embeddings.weight"]
    positions = weights["text_branch.embeddings.position_embeddings.weight"]
    inner = weights["text_branch.encoder.layer.0.intermediate.dense.weight"]
    return ClapConfig(
        audio_config=ClapAudioConfig(
            patch_embeds_hidden_size=patch.shape[0],
            hidden_size=patch.shape[0] * 2 ** (stages - 1),
            patch_size=patch.shape[-1],
            num_mel_bins=weights["audio_branch.bn0.weight"].shape[0],
            depths=[sum(stage == s for stage, _ in blocks) for s in range(stages)],
            num_attention_heads=[table.shape[1] for table in tables],
            window_size=(round(tables[0].shape[0] ** 0.5) + 1) // 2,
            enable_fusion=fused,
            fusion_type="aff_2d" if fused else None,
        ),
        text_config=ClapTextConfig(
            vocab_size=words.shape[0],
            hidden_size=words.shape[1],
            num_hidden_layers=1 + max(int(m[1]) for m in map(TEXT_LAYER.match, weights) if m),
            num_attention_heads=max(1, words.shape[1] // HEAD_WIDTH),
            intermediate_size=inner.shape[0],
            max_position_embeddings=positions.shape[0],
            layer_norm_eps=1e-5,  # RoBERTa's
        ),
        projection_dim=weights["audio_projection.2.weight"].shape[0],
    )


def load_weights(model: ClapModel, weights: Mapping[str, Tensor]) -> None:
    """Load LAION's weights into `model`; the keys must match exactly, except for `DERIVED`.

    Raises:
        ModelError: a key is unknown or missing, or has another shape.
    """
    given, wanted = rename_weights(weights), model.state_dict()
    unknown = sorted(k for k in given if k not in wanted and not k.endswith(DERIVED))
    missing = sorted(k for k in wanted if k not in given and not k.endswith(DERIVED))
    shapes = sorted(k for k in wanted if k in given and given[k].shape != wanted[k].shape)
    for keys, what in (
        (unknown, "is unknown"),
        (missing, "is missing"),
        (shapes, "has another shape"),
    ):
        if keys:
            raise ModelError(
                f"the checkpoint does not fit transformers' CLAP: {keys[0]} {what}"
                + (f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""),
                hint="use one of LAION's HTSAT checkpoints, or a transformers folder",
            )
    model.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the weights of a `.pt` file and strip the prefix of data-parallel training.

    Uses `weights_only=True`, so no code in the file is executed.

    Raises:
        ModelError: the file is missing, damaged, or contains more than tensors and numbers.
    """
    try:
        with torch.serialization.safe_globals(_numpy_numbers()):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError("no such file", where=path, hint="check `base.audio_encoder`") from None
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(
            "cannot be read as weights only: " + " ".join(str(error).split())[:200],
            where=path,
            hint="use the file that LAION publishes; a pickle that contains code is not loaded",
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise ModelError("contains no state dict", where=path, hint="use a LAION CLAP checkpoint")
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _numpy_numbers() -> list[Any]:
    """NumPy number types that LAION's trainer saved with the weights; they are safe to load."""
    import numpy as np
    from numpy._core import multiarray

    scalar = multiarray.scalar
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        scalar,
        np.dtype,
        np.dtypes.Float64DType,
        np.dtypes.Int64DType,
    ]


def feature_extractor(fused: bool, mels: int) -> ClapFeatureExtractor:
    """Build the log-mel extractor that LAION's models (fused or not) were trained with, 48 kHz."""
    return ClapFeatureExtractor(
        feature_size=mels,
        frequency_min=50,
        frequency_max=14_000,
        truncation="fusion" if fused else "rand_trunc",
    )


def convert_checkpoint(path: Path, cache: Path) -> Path:
    """Convert a LAION `.pt`, unless the cache already contains the result.

    Returns:
        A folder below `cache` for `load_audio_encoder`. It has no tokenizer, as LAION's file
        contains none and the audio tower needs none.

    Raises:
        ModelError: the file cannot be read or contains another network.
    """
    if not path.is_file():
        raise ModelError(
            "no such file", where=path, key="base.audio_encoder", hint="check the path"
        )
    folder = cache / f"laion-{digest_file(path)[:16]}" / "audio_encoder"
    if folder.is_dir():
        return folder
    weights = read_checkpoint(path)
    try:
        config = infer_config(weights)
        model = ClapModel(config)
        load_weights(model, weights)
    except ModelError as error:
        raise ModelError(
            error.what, where=path, key="base.audio_encoder", hint=error.hint
        ) from None
    partial = folder.with_name(".audio_encoder.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    audio = config.audio_config
    feature_extractor(audio.enable_fusion, audio.num_mel_bins).save_pretrained(partial)
    partial.rename(folder)
    return folder
