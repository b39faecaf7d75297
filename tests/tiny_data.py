"""Small handwritten datasets in the public layouts, for tests of readers and audits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from safe.hearing.config import (
    BaseConfig,
    CurriculumConfig,
    DatasetConfig,
    PreflightConfig,
    RunConfig,
    StageConfig,
)
from safe.pipeline.definition import config_model

RATE = 8000


def tone(hertz: float, seconds: float = 1.0, start: float = 0.2, end: float = 0.8) -> np.ndarray:
    """Tone with two overtones from `start` to `end`, faint noise elsewhere, (n,) float32."""
    t = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in (1, 2, 3))
    noise = np.random.default_rng(int(hertz)).normal(0, 1e-3, len(t))
    return (0.3 * wave * ((t >= start) & (t < end)) + noise).astype(np.float32)


def picture(seed: int, size: int = 32) -> Image.Image:
    """Smooth random picture: any two differ clearly, also after re-encoding."""
    rng = np.random.default_rng(seed)
    light, tint = rng.uniform(20, 235, (5, 5, 1)), rng.uniform(0.7, 1.08, 3)
    blocks = Image.fromarray((light * tint).clip(0, 255).astype(np.uint8))
    return blocks.resize((size, size), Image.Resampling.BICUBIC)


def write_audiocaps(
    root: Path, split: str, rows: list[tuple[int, str, int, str]], *, media: bool = True
) -> None:
    """Write `{split}.csv` of (audiocap_id, youtube_id, start, caption) and a tone for each clip."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["audiocap_id,youtube_id,start_time,caption"]
    lines += [f'{i},{y},{s},"{c}"' for i, y, s, c in rows]
    (root / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if media:
        (root / "audio").mkdir(exist_ok=True)
        for number, youtube, start, _ in rows:
            soundfile.write(root / "audio" / f"{youtube}_{start}.wav", tone(200 + 7 * number), RATE)


def write_vqav2(
    root: Path, split: str, rows: list[tuple[int, int, str, str]], *, media: bool = True
) -> None:
    """Write questions, annotations, pictures of (question_id, image_id, question, answer)."""
    root.mkdir(parents=True, exist_ok=True)
    questions = [{"question_id": q, "image_id": i, "question": t} for q, i, t, _ in rows]
    annotations = [
        {
            "question_id": q,
            "image_id": i,
            "question_type": " ".join(t.split()[:2]),
            "answer_type": "other",
            "answers": [{"answer": a, "answer_id": n} for n in range(1, 11)],
            "multiple_choice_answer": a,
        }
        for q, i, t, a in rows
    ]
    (root / f"v2_OpenEnded_mscoco_{split}_questions.json").write_text(
        json.dumps({"info": {}, "questions": questions})
    )
    (root / f"v2_mscoco_{split}_annotations.json").write_text(
        json.dumps({"info": {}, "annotations": annotations})
    )
    if media:
        (root / split).mkdir(exist_ok=True)
        for image_id in {row[1] for row in rows}:
            name = f"COCO_{split}_{image_id:012d}.png"
            picture(image_id).save(root / split / name)


def dataset(layout: str, root: Path, **more: Any) -> DatasetConfig:
    """A dataset named after its layout."""
    values = {"name": layout, "layout": layout, "root": root, "splits": {"train": "train"}}
    return DatasetConfig.model_validate(values | more)


def run_config(folder: Path, datasets: list[DatasetConfig], **more: Any) -> RunConfig:
    """A run around the datasets, with one stage that accepts all difficulties."""
    stage = StageConfig(
        name="all",
        epochs=1,
        audio_ratio=0.5,
        difficulties=["easy", "medium", "hard"],
        min_audio_accuracy=0.5,
        max_vl_drop=0.1,
    )
    values: dict[str, Any] = {
        "run": "tiny",
        "pipeline": "hearing",
        "scale": "miniature",
        "seed": 0,
        "threads": 1,
        "results": folder / "results",
        "cache": folder / "cache",
        "datasets": datasets,
        "base": BaseConfig(miniature="world"),
        "preflight": PreflightConfig(recall_copies=4, batches=20),
        "curriculum": CurriculumConfig(batch_size=10, stages=[stage]),
    }
    config: RunConfig = config_model("safe.hearing")(**(values | more))
    return config
