"""A whole run in a temporary folder: pictures, tones, manifest, random models, config."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from safe.hearing.config import RunConfig, parse_run_config
from safe.hearing.data.manifest import write_manifest
from safe.hearing.data.sample import MediaRef, Sample
from safe.hearing.models.audio_encoder import load_audio_encoder
from safe.hearing.models.base import load_vlm
from safe.hearing.models.weights import weight_digest
from tests.paths import ROOT
from tests.tiny_models import RATE, save_tiny, tiny_tone

COLOURS = ("red", "green")
RGB = ((220, 40, 40), (40, 200, 60))
SOUNDS = ("bell", "drum", "siren", "rain")


def _picture(path: Path, colour: int, rng: np.random.Generator) -> MediaRef:
    pixels = np.array(RGB[colour]) + rng.integers(-40, 40, (16, 16, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return MediaRef(path)


def _sound(path: Path, hertz: float) -> MediaRef:
    soundfile.write(path, tiny_tone(hertz), RATE)
    return MediaRef(path)


def make_samples(
    folder: Path, *, vl: int, audio: int, held_out: int = 0, seed: int = 0
) -> list[Sample]:
    """VL questions in splits test and train, audio questions in split train.

    `held_out` more audio questions are in each of val and test. The answer of an audio question
    depends on the pitch of its tone; there are four.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [_picture(folder / f"{i}.png", i % 2, rng) for i in range(24)]
    samples = []
    for split in ("test", "train"):
        for i in range(vl):
            colour = COLOURS[i % len(pictures) % 2]
            question = ("what colour is the dog?", "what is the colour of the cat?")[i % 2]
            samples.append(
                Sample(
                    id=f"tiny/{split}/vl-{i}",
                    dataset="tiny",
                    split=split,
                    task="vl",
                    question=question,
                    question_type="colour",
                    answers=(colour,) * 10,
                    answer=colour,
                    source=f"picture:{split}:{i}",
                    image=pictures[i % len(pictures)],
                )
            )
    splits = ["train"] * audio + ["val"] * held_out + ["test"] * held_out
    for i, split in enumerate(splits):
        kind = int(rng.integers(4))
        hertz = 250.0 * 2**kind * float(rng.uniform(0.99, 1.01))
        samples.append(
            Sample(
                id=f"tiny/{split}/audio-{i}",
                dataset="tiny",
                split=split,
                task="audio" if i % 2 else "av",
                question="what sound do you hear?",
                question_type="sound",
                answers=(SOUNDS[kind],) * 10,
                answer=SOUNDS[kind],
                source=f"tone:{i}",
                image=pictures[i % len(pictures)],
                audio=_sound(folder / f"{i}.wav", hertz),
            )
        )
    return samples


def make_run(
    root: Path,
    *,
    vl: int = 40,
    audio: int = 24,
    held_out: int = 0,
    **settings: dict[str, object],
) -> RunConfig:
    """Return a prepared run below `root`, with all inputs that experiments need."""
    vlm, audio_encoder = save_tiny(root / "models")
    config = parse_run_config(
        {
            "run": "tiny",
            "pipeline": "hearing",
            "scale": "miniature",
            "seed": 0,
            "results": str(root / "results"),
            "cache": str(root / "cache"),
            "criteria": str(ROOT / "config" / "hearing" / "criteria"),
            "device": "cpu",
            "threads": 1,
            "datasets": [
                {
                    "name": "tiny",
                    "layout": "vqav2",
                    "root": str(root),
                    "splits": {"train": "train", "val": "val", "test": "test"},
                }
            ],
            "base": {"vlm": str(vlm), "audio_encoder": str(audio_encoder)},
            "adapter": {"audio_tokens": 3, "hidden": 32, "lora": {"rank": 4, "alpha": 8}},
            "curriculum": {
                "stages": [
                    {
                        "name": "one",
                        "epochs": 1,
                        "audio_ratio": 0.5,
                        "difficulties": ["easy"],
                        "min_audio_accuracy": 0.5,
                        "max_vl_drop": 0.01,
                    }
                ]
            },
            **settings,
        },
        "tests/tiny_run.py",
    )
    samples = make_samples(root / "media", vl=vl, audio=audio, held_out=held_out)
    write_manifest(samples, config.folder / "data" / "manifest.parquet")
    base = {
        "vlm": str(vlm),
        "audio_encoder": str(audio_encoder),
        "vlm_revision": None,
        "audio_encoder_revision": None,
        "digests": {
            "vlm": weight_digest(load_vlm(vlm)[0]),
            "audio_encoder": weight_digest(load_audio_encoder(audio_encoder).model),
        },
    }
    (config.folder / "base.json").write_text(json.dumps(base))
    return config


def make_learnable_run(root: Path) -> RunConfig:
    """A run whose random base can be fitted to 260 examples in seconds with a strong adapter."""
    linear = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    return make_run(
        root,
        vl=130,
        audio=130,
        adapter={
            "audio_tokens": 3,
            "hidden": 64,
            "lora": {"rank": 16, "alpha": 32, "targets": linear},
        },
        tiny_overfit={
            "rows": 260,
            "steps": 260,
            "batch_size": 32,
            "projector_lr": 3e-3,
            "lora_lr": 3e-3,
        },
    )


def make_pilot_run(root: Path, steps: int | None = None) -> RunConfig:
    """A run whose Stage A learns to use audio, with enough held-out questions to judge it."""
    return make_run(
        root,
        vl=510,
        audio=200,
        held_out=310,
        adapter={
            "audio_tokens": 3,
            "hidden": 64,
            "lora": {"rank": 16, "alpha": 32, "targets": ["q_proj", "v_proj", "fc1", "fc2"]},
        },
        stage_a={
            "rows": 400,
            "steps": steps or 160,
            "batch_size": 32,
            "projector_lr": 5e-3,
            "lora_lr": 5e-3,
            "checkpoint_every": 1000,
        },
        pilot={"audio_tokens": [3], "ranks": [16], "ablation_steps": 60, "latency_pairs": 20},
    )
