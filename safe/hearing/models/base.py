"""Load a frozen BLIP-2, either a trained miniature or a downloaded checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, Blip2ForConditionalGeneration, Blip2Processor
from transformers.utils import logging as transformers_logging

from safe.errors import ModelError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def resolve_device(name: str) -> torch.device:
    """Return the torch device; `auto` is CUDA if available, else the CPU.

    Raises:
        ModelError: the named CUDA device does not exist on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"there is no device {name!r} ({torch.cuda.device_count()} CUDA devices found)",
            key="device",
            hint="set `device: auto` or `device: cpu`, or use a machine with a GPU",
        )
    return device


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress transformers' log messages and progress bars."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _hint(source: str, kind: str, key: str) -> str:
    if Path(source).exists():
        return f"the folder must contain {kind} saved by save_pretrained, with its processor"
    return (
        f"`{source}` is not a local folder; a hub id needs network access or a copy in the Hugging "
        f"Face cache (`hf download {source}`). Or set `{key}` to a folder, or use a released "
        "model (`base.miniature`)"
    )


def open_pretrained(
    opener: Any,
    source: str,
    *,
    kind: str,
    key: str,
    revision: str | None = None,
    **options: Any,
) -> Any:
    """Call `opener.from_pretrained(source, ...)` and raise its errors as `ModelError`."""
    if revision is not None:
        options["revision"] = revision
    try:
        with quiet():
            return opener.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot be loaded as {kind}: {reason}",
            where=source,
            key=key,
            hint=_hint(source, kind, key),
        ) from error
    except Exception as error:  # safetensors raises a bare subclass of Exception
        if type(error).__name__ != "SafetensorError":
            raise
        raise ModelError(
            f"contains a damaged weights file: {error}",
            where=source,
            key=key,
            hint="download or train it again; the file is probably truncated",
        ) from error


def refuse_incomplete(info: dict[str, Any], source: str, *, kind: str, key: str) -> None:
    """Raise ModelError if the checkpoint does not set all weights of the model."""
    missing = sorted(info.get("missing_keys", ()))
    mismatched = sorted(str(k[0]) for k in info.get("mismatched_keys", ()))
    if missing or mismatched:
        names = ", ".join((missing + mismatched)[:4])
        raise ModelError(
            f"does not contain all weights of {kind}: {len(missing)} weights are missing and "
            f"{len(mismatched)} have a wrong shape ({names})",
            where=source,
            key=key,
            hint="use a complete checkpoint of that architecture",
        )


def check_model_type(
    source: str, revision: str | None, expected: str, *, kind: str, key: str
) -> None:
    """Raise ModelError, before weights are read, if the checkpoint's model type differs."""
    config = open_pretrained(AutoConfig, source, kind=kind, key=key, revision=revision)
    if config.model_type != expected:
        raise ModelError(
            f"contains a {config.model_type!r} model, not {kind}",
            where=source,
            key=key,
            hint=f"use a checkpoint whose model_type is {expected!r}",
        )


def load_vlm(
    path_or_id: str | Path,
    revision: str | None = None,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device = "cpu",
) -> tuple[Blip2ForConditionalGeneration, Blip2Processor]:
    """Load a BLIP-2 and freeze it.

    Args:
        path_or_id: folder written by `save_pretrained`, or a hub id.
        revision: hub branch, tag or commit.
        dtype: dtype of the weights; with float16 transformers keeps the Q-Former in float32.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or a torch device.

    Returns:
        The model in evaluation mode with `requires_grad` False for all parameters, and its
        processor. The tokenizer pads on the left, as batched generation requires.

    Raises:
        ModelError: the folder or id does not exist, weights are damaged or incomplete, the
            architecture is not BLIP-2, or the processor does not fit the model.
    """
    source, kind, key = str(path_or_id), "a BLIP-2", "base.vlm"
    check_model_type(source, revision, "blip-2", kind=kind, key=key)
    model, info = open_pretrained(
        Blip2ForConditionalGeneration,
        source,
        kind=kind,
        key=key,
        revision=revision,
        dtype=DTYPES[dtype] if isinstance(dtype, str) else dtype,
        output_loading_info=True,
    )
    refuse_incomplete(info, source, kind=kind, key=key)
    processor = open_pretrained(Blip2Processor, source, kind=kind, key=key, revision=revision)
    _fit_processor(model, processor, source)
    target = resolve_device(device) if isinstance(device, str) else device
    return model.to(target).eval().requires_grad_(False), processor


def _fit_processor(
    model: Blip2ForConditionalGeneration, processor: Blip2Processor, source: str
) -> None:
    """Configure the processor to insert the model's image placeholders and to pad on the left."""
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    queries = int(model.config.num_query_tokens)
    if processor.num_query_tokens is None:  # saved before transformers had placeholders
        processor.num_query_tokens = queries
    token = tokenizer.convert_tokens_to_ids("<image>")
    if model.config.image_token_index is None and token is not None:
        model.config.image_token_index = token
    rows = model.get_input_embeddings().num_embeddings
    faults = []
    if processor.num_query_tokens != queries:
        faults.append(f"{processor.num_query_tokens} placeholders for {queries} queries")
    if token != model.config.image_token_index:
        faults.append(f"<image> is token {token}, the model uses {model.config.image_token_index}")
    if token is not None and token >= rows:
        faults.append(f"<image> is token {token}, the model has {rows} embeddings")
    if faults:
        raise ModelError(
            f"the processor does not fit the model: {'; '.join(faults)}",
            where=source,
            key="base.vlm",
            hint="use the processor that was saved with the model",
        )
