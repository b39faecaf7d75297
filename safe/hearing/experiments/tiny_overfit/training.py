"""Training of experiment 03: selection of the examples, and the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from safe.digest import digest_code, digest_json
from safe.errors import DataError
from safe.hearing.config import RunConfig
from safe.hearing.data.manifest import load_samples
from safe.hearing.experiments.tiny_overfit.config import TinyOverfitSettings
from safe.hearing.training.batching import Feeder
from safe.hearing.training.collate import Example, TextEncoder
from safe.hearing.training.features import Features
from safe.hearing.training.held_out import pick
from safe.hearing.training.sampler import LengthBatches
from safe.hearing.training.trainer import StepRecord, Trainer, TrainingBatch, TrainSettings


def select_rows(
    config: RunConfig, manifest: Path, features: Features, encoder: TextEncoder
) -> list[Example]:
    """Select the mixed examples of the tiny split. All have a sound, because the gate is always ON.

    Examples of tasks `audio` and `av` have their own sound. VL examples have the sound of a random
    other example and must be answered from the picture. Captions are left out.

    Raises:
        DataError: the run has no example that needs its sound.
    """
    settings, rng = TinyOverfitSettings.of(config), np.random.default_rng(config.seed)
    audio_rows = round(settings.rows * settings.audio_fraction)
    by_task = {t: load_samples(manifest, split="train", task=t) for t in ("audio", "av", "vl")}
    audio_examples = pick(by_task["audio"] + by_task["av"], audio_rows, features, rng, audible=True)
    if not audio_examples:
        raise DataError(
            "there is no training example of task `audio` or `av` with a usable sound",
            where=manifest,
            hint="see 01_data_preflight for the files that do not load",
        )
    vl_examples = pick(
        by_task["vl"], settings.rows - len(audio_examples), features, rng, audible=False
    )
    donors = [audio_examples[i] for i in rng.integers(len(audio_examples), size=len(vl_examples))]
    rows = [encoder.row(s, s) for s in audio_examples]
    rows += [encoder.row(s, donor) for s, donor in zip(vl_examples, donors, strict=True)]
    encoder.check_fits(rows, config.adapter.audio_tokens)
    return rows


@dataclass(frozen=True)
class Overfit:
    """Examples to memorize, and their training."""

    feeder: Feeder
    rows: list[Example]

    def fingerprint(self, config: RunConfig) -> str:
        """Digest of everything that the trained weights depend on."""
        return digest_json(
            [
                self.feeder.features.opened.digests,
                config.adapter.model_dump(mode="json"),
                TinyOverfitSettings.of(config).model_dump(mode="json"),
                [config.seed, config.base.dtype, torch.get_num_threads()],
                str(self.feeder.model.device),
                [[r.sample.id, r.heard.id, r.prompt, r.answer] for r in self.rows],
                digest_code("safe.hearing.training.trainer"),
            ]
        )

    def train(self, config: RunConfig, checkpoint: Path | None) -> tuple[list[StepRecord], Trainer]:
        """Train with the gate always ON, starting from `checkpoint` if there is one."""
        settings = TinyOverfitSettings.of(config)
        trainer = Trainer(
            self.feeder.model,
            LengthBatches([r.length for r in self.rows], settings.batch_size, config.seed),
            self._training_batch,
            TrainSettings(
                steps=settings.steps,
                projector_lr=settings.projector_lr,
                lora_lr=settings.lora_lr,
                warmup=settings.warmup,
                clip_norm=settings.clip_norm,
                seed=config.seed,
            ),
            checkpoint=checkpoint,
            fingerprint=self.fingerprint(config),
        )
        return trainer.run("tiny overfit"), trainer

    def _training_batch(self, numbers: list[int], whole: list[int], step: int) -> TrainingBatch:
        rows = [self.rows[n] for n in numbers]
        tokens = sum(len(self.rows[n].answer) for n in whole)
        return TrainingBatch(self.feeder.scoring(rows), [r.sample.id for r in rows], tokens)
