"""Resolve user-specified models: folders, hub ids, and LAION's CLAP checkpoints."""

from __future__ import annotations

from pathlib import Path

from safe.errors import ModelError
from safe.hearing.config import RunConfig

# Files that `from_pretrained` reads. Pickled weights are downloaded only without safetensors.
PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
PICKLED = ("*.bin",)


def resolve_vlm(config: RunConfig) -> Path:
    """Return the folder of the run's vision-language model, downloaded if necessary.

    Raises:
        ModelError: there is no such folder and it cannot be downloaded from the hub.
    """
    assert config.base.vlm is not None
    return _folder(config.base.vlm, config.base.vlm_revision, "base.vlm")


def resolve_audio_encoder(config: RunConfig) -> Path:
    """Return the folder of the run's audio encoder, downloaded or converted if necessary.

    A LAION `.pt` checkpoint is converted into the cache.

    Raises:
        ModelError: there is no such folder or file and it cannot be downloaded from the hub.
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
        # Old repositories have pickled weights only; transformers loads them with weights_only.
        return folder if any(folder.glob("*.safetensors")) else fetch(PATTERNS + PICKLED)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"`{source}` is not a local folder and cannot be downloaded from the hub: "
            + " ".join(str(error).split())[:200],
            key=key,
            hint=f"check the name and the network, run `hf download {source}`, or use a released "
            "model (`base.miniature`)",
        ) from error
