"""`safe prepare-base`: open and verify the run's frozen models, and evaluate a miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safe.errors import ModelError
from safe.files import write_json
from safe.gates.pipeline import PLAN
from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.data.sample import Sample
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm, resolve_device
from safe.hearing.models.weights import weight_digest

MODELS = ("vlm", "audio_encoder")
LARGEST_MINIATURE = 20_000_000  # parameters; the released ones have 1.5 million
PER_TYPE = 50  # questions per type; the card has the full evaluation


def prepare_base(config: RunConfig) -> None:
    """Open the run's frozen models and write results/RUN/base.json.

    A miniature is also evaluated on the run's val split, from its media files and with `generate`.
    If it fails, the result is written to results/RUN/base_refused.json and base.json is deleted.

    Raises:
        ModelError: the models cannot be opened or are too large for the scale, a released file does
            not match its card, or the miniature fails the evaluation.
    """
    target = config.folder / "base.json"
    refused = config.folder / "base_refused.json"
    if config.base.miniature is not None:
        from safe.hearing.miniature.base.released import open_released

        folder, card = open_released(config)
        places = {model: folder / model for model in MODELS}
        name = f"safe-miniature-{card.name}"
        record: dict[str, Any] = {
            "kind": "released",
            **{f"{model}_id": f"{name}/{model}" for model in MODELS},
            "recipe_digest": card.recipe_digest,
        }
    else:
        from safe.hearing.training.model_sources import resolve_audio_encoder, resolve_vlm

        places = {"vlm": resolve_vlm(config), "audio_encoder": resolve_audio_encoder(config)}
        record = {
            "kind": "given",
            "vlm_id": config.base.vlm,
            "audio_encoder_id": config.base.audio_encoder,
            "revisions": {
                "vlm": config.base.vlm_revision,
                "audio_encoder": config.base.audio_encoder_revision,
            },
        }
    device = resolve_device(config.device)
    vlm, processor = load_vlm(places["vlm"], dtype=config.base.dtype, device=device)
    audio_encoder = load_audio_encoder(places["audio_encoder"], device=device)
    _check_scale(config, vlm, audio_encoder.model)
    record |= {
        **{model: str(places[model]) for model in MODELS},
        # The folders are copies of these revisions; the hub is not contacted again.
        **{f"{model}_revision": None for model in MODELS},
        "digests": {"vlm": weight_digest(vlm), "audio_encoder": weight_digest(audio_encoder.model)},
        "held_out": None,
    }
    if config.base.miniature is not None:
        record["held_out"] = _measure(config, vlm, processor, audio_encoder)
        from safe.hearing.miniature.base.evaluate import faults

        found = faults(record["held_out"])
        if found:
            target.unlink(missing_ok=True)
            write_json(refused, record | {"faults": found})
            raise ModelError(
                "the miniature fails the evaluation on this run's data: " + "; ".join(found),
                where=refused,
                key="held_out",
                hint="use the world or digits data of this version of SAFE, or train another "
                "miniature with `make miniature`",
            )
    else:
        record["held_out_reason"] = "only a miniature is evaluated here; see the experiments"
    refused.unlink(missing_ok=True)
    write_json(target, record)


def _check_scale(config: RunConfig, *models: Any) -> None:
    """Refuse scaled thresholds for models that are not miniature.

    Raises:
        ModelError: the models are too large for the run's scale.
    """
    count = sum(parameter.numel() for model in models for parameter in model.parameters())
    if config.scale != PLAN and count > LARGEST_MINIATURE:
        raise ModelError(
            f"the models have {count:,} parameters, but scale {config.scale!r} is for miniatures "
            f"of at most {LARGEST_MINIATURE:,}",
            where=config.folder / "config.json",
            key="scale",
            hint=f"set scale: {PLAN}",
        )


def _held_out_samples(config: RunConfig) -> list[Sample]:
    """Load the val split of the run's manifest.

    Raises:
        ModelError: the manifest does not exist.
    """
    manifest: Path = config.folder / "data" / "manifest.parquet"
    if not manifest.is_file():
        raise ModelError(
            "the manifest for the evaluation of the miniature is missing",
            where=manifest,
            hint="run `safe prepare-data` first",
        )
    return load_samples(manifest, split="val")


def _measure(config: RunConfig, vlm: Any, processor: Any, audio_encoder: Any) -> dict[str, Any]:
    from safe.hearing.miniature.base.evaluate import evaluate
    from safe.hearing.miniature.base.train import material_for

    samples = _held_out_samples(config)
    found = evaluate(
        vlm,
        processor,
        audio_encoder,
        material_for(config),
        samples,
        seed=config.seed,
        per_type=PER_TYPE,
    )
    return {**found, "source": "val split of the manifest"}
