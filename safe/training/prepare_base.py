"""`safe prepare-base`: the run's frozen models, trained or opened, and what they can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safe.config import RunConfig
from safe.data.manifest import load_samples
from safe.data.sample import Sample
from safe.errors import ModelError
from safe.files import write_json
from safe.models.base import load_vlm, resolve_device
from safe.models.ear import load_ear
from safe.models.weights import weight_digest

READS = ("seed", "base", "threads")


def prepare_base(config: RunConfig) -> None:
    """Train or find the base and the ear, and write results/RUN/base.json.

    A trained base is measured on the run's val split, through files and `generate`. What it could
    not do is written to results/RUN/base_refused.json, and there is then no base.json.

    Raises:
        ModelError: the models cannot be trained or opened, or what was trained is no base.
    """
    target = config.folder / "base.json"
    refused = config.folder / "base_refused.json"
    seconds: dict[str, Any] = {}
    if config.base.train is not None:
        from safe.training.base.train import train_base

        folder, seconds = train_base(config)
        places = {"vlm": folder / "vlm", "ear": folder / "ear"}
        record: dict[str, Any] = {"kind": "trained", "vlm_revision": None, "ear_revision": None}
    else:
        from safe.training.given import resolve_ear, resolve_vlm

        places = {"vlm": resolve_vlm(config), "ear": resolve_ear(config)}
        record = {
            "kind": "given",
            "vlm_id": config.base.vlm,
            "ear_id": config.base.ear,
            # The folders are copies of these revisions; nothing is asked of the hub again.
            "vlm_revision": None,
            "ear_revision": None,
            "revisions": {"vlm": config.base.vlm_revision, "ear": config.base.ear_revision},
        }
    device = resolve_device(config.device)
    vlm, processor = load_vlm(places["vlm"], dtype=config.base.dtype, device=device)
    ear = load_ear(places["ear"], device=device)
    record |= {
        "vlm": str(places["vlm"]),
        "ear": str(places["ear"]),
        "digests": {"vlm": weight_digest(vlm), "ear": weight_digest(ear.model)},
        "held_out": None,
        "seconds": seconds,
    }
    if config.base.train is not None:
        record["held_out"] = _measure(config, vlm, processor, ear)
        from safe.training.base.evaluate import faults

        found = faults(record["held_out"])
        if found:
            target.unlink(missing_ok=True)
            write_json(refused, record | {"faults": found})
            raise ModelError(
                "what was trained is no base: " + "; ".join(found),
                where=refused,
                key="held_out",
                mend="train with another `base.seed`, or longer (safe/training/base/recipe.py)",
            )
    else:
        record["held_out_reason"] = "a given base is measured by the experiments, not here"
    refused.unlink(missing_ok=True)
    write_json(target, record)


def _held_out_samples(config: RunConfig) -> tuple[list[Sample], str]:
    """The val split of the run's manifest; it is read from the datasets where there is none."""
    manifest: Path = config.folder / "data" / "manifest.parquet"
    if not manifest.is_file():
        raise ModelError(
            "there is no manifest to measure the trained base on",
            where=manifest,
            mend="run `safe prepare-data` first",
        )
    return load_samples(manifest, split="val"), "val split of the manifest"


def _measure(config: RunConfig, vlm: Any, processor: Any, ear: Any) -> dict[str, Any]:
    from safe.training.base.evaluate import answer, by_type, pick, zero_shot
    from safe.training.base.train import material_for

    samples, source = _held_out_samples(config)
    chosen = pick(samples, config.base.seed)
    return {
        **by_type(answer(vlm, processor, chosen)),
        "clap_zero_shot": zero_shot(ear, material_for(config), samples),
        "source": source,
    }
