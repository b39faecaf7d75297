"""Bases that the user names: folders, hub ids, and LAION's own CLAP checkpoints."""

from __future__ import annotations

from pathlib import Path

from safe.errors import ModelError
from safe.hearing.config import RunConfig

# What `from_pretrained` reads: safetensors first; other frameworks' weights stay where they are.
PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
PICKLED = ("*.bin",)


def resolve_vlm(config: RunConfig) -> Path:
    """The folder of the run's vision-language model.

    Raises:
        ModelError: no such folder, and the hub does not give it either.
    """
    assert config.base.vlm is not None
    return _folder(config.base.vlm, config.base.vlm_revision, "base.vlm")


def resolve_audio_encoder(config: RunConfig) -> Path:
    """The folder of the run's audio encoder; a LAION `.pt` checkpoint is converted into the cache
    once.

    Raises:
        ModelError: no such folder or file, or the hub does not give it either.
    """
    assert config.base.audio_encoder is not None
    if config.base.audio_encoder.endswith(".pt"):
        from safe.hearing.models.laion_clap import convert_checkpoint

        return convert_checkpoint(Path(config.base.audio_encoder), config.cache / "bases")
    return _folder(
        config.base.audio_encoder, config.base.audio_encoder_revision, "base.audio_encoder"
    )


def _folder(source: str, revision: str | None, key: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(patterns: tuple[str, ...]) -> Path:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))

    try:
        folder = fetch(PATTERNS)
        # Old repositories hold pickled weights only; transformers opens them weights_only.
        return folder if any(folder.glob("*.safetensors")) else fetch(PATTERNS + PICKLED)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"`{source}` is no folder here, and the hub does not give it: "
            + " ".join(str(error).split())[:200],
            key=key,
            hint=f"check the name and the network, fetch it with `hf download {source}`, or use a "
            "released one (`base.miniature`)",
        ) from error
